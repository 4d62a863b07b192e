from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage._hits import load_pixels
from storage.errors import DataError
from storage.hdf5 import EventFile, Layout, write_events
from storage.ingest import ingest
from study.generation import write_simulation
from study.simulation.events import simulate

HITS: dict[str, Any] = {
    "event_hits_index": np.array([0, 2, 2, 5]),  # events of 2, 0, 3 and 1 hits
    "hit_pmt": np.array([0, 5, 3, 1, 3], np.int32).repeat([1, 1, 1, 1, 2]),
    "hit_charge": np.array([1, 2, 3, 4, 5, 6], np.float32),
    "hit_time": np.array([10, 20, 30, 40, 50, -0.0], np.float32),
    "labels": np.array([0, 1, 0, 1]),
}
PLACES = np.array([[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]])


def make(folder: Path, pixels: dict[str, np.ndarray] | None = None, **changed: Any) -> Layout:
    with h5py.File(folder / "hits.h5", "w") as file:
        for name, values in (HITS | changed).items():
            if values is not None:
                file[name] = values
    np.savez(folder / "pixels.npz", **({"pmt_image_positions": PLACES} if pixels is None else pixels))
    return Layout(pixels=folder / "pixels.npz")


def images(folder: Path, layout: Layout) -> np.ndarray:
    events: np.ndarray = EventFile.open(folder / "hits.h5", layout).events()[:]
    return events


def test_each_hit_is_a_charge_and_a_time_at_its_tube_and_the_last_of_a_tube_counts(tmp_path: Path) -> None:
    expected = np.zeros((4, 2, 3, 2), np.float32)
    expected[0, 0, 0], expected[0, 1, 2] = (1, 10), (2, 20)
    expected[2, 1, 0], expected[2, 0, 1] = (5, 50), (4, 40)
    expected[3, 1, 0] = (6, -0.0)

    found = images(tmp_path, make(tmp_path))

    assert found.tobytes() == expected.tobytes()


def test_modules_have_a_channel_for_each_of_their_19_tubes(tmp_path: Path) -> None:
    layout = make(
        tmp_path, {"mpmt_image_positions": np.array([[0, 1], [2, 0]])}, hit_pmt=np.array([0, 18, 19, 37, 1, 2])
    )

    file = EventFile.open(tmp_path / "hits.h5", layout)
    found = file.events()[:]

    assert file.shape == (38, 3, 2)
    assert (found[0, 0, 1, 0], found[0, 0, 1, 18], found[0, 0, 1, 19 + 18]) == (1, 2, 20)
    assert (found[2, 2, 0, 0], found[2, 2, 0, 18]) == (3, 4)


def test_a_third_column_is_the_channel(tmp_path: Path) -> None:
    places = np.column_stack([np.zeros((6, 2), int), np.arange(6)])

    found = images(tmp_path, make(tmp_path, {"pmt_image_positions": places}))

    assert found.shape == (4, 1, 1, 12)
    assert found[0, 0, 0].tolist() == [1, 0, 0, 0, 0, 2, 10, 0, 0, 0, 0, 20]


def test_tubes_may_be_numbered_from_one(tmp_path: Path) -> None:
    from_zero = images(tmp_path, make(tmp_path))
    layout = make(tmp_path, hit_pmt=HITS["hit_pmt"] + 1)

    assert np.array_equal(images(tmp_path, Layout(pixels=layout.pixels, first_pmt=1)), from_zero)
    with pytest.raises(
        DataError, match=r"event 0 has a hit of tube 6, but .*pixels.npz has tubes 0 to 5; .*data.first_pmt"
    ):
        images(tmp_path, layout)


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=30),
    options=st.sampled_from([{}, {"chunks": True}, {"compression": "gzip"}]),
    order=st.sampled_from("<>"),
    wide=st.booleans(),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_any_hits_give_the_images_that_a_loop_over_them_gives(
    tmp_path_factory: pytest.TempPathFactory,
    counts: list[int],
    options: dict[str, Any],
    order: str,
    wide: bool,
    seed: int,
    data: st.DataObject,
) -> None:
    folder, random = tmp_path_factory.mktemp("hits"), np.random.default_rng(seed)
    hits, dtype = sum(counts), f"{order}f{8 if wide else 4}"
    pmts = random.integers(0, 6, hits)
    charges, times = (np.frombuffer(random.bytes(hits * int(dtype[-1])), dtype) for _ in range(2))
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    np.savez(folder / "pixels.npz", pmt_image_positions=PLACES)
    with h5py.File(folder / "hits.h5", "w") as file:
        file["event_hits_index"], file["labels"] = starts, np.zeros(len(counts), int)
        for name, values in (("hit_pmt", pmts), ("hit_charge", charges), ("hit_time", times)):
            file.create_dataset(name, data=values, **(options if hits else {}))
    expected = np.zeros((len(counts), 2, 3, 2), dtype[1:])
    for event, (start, count) in enumerate(zip(starts, counts, strict=True)):
        for hit in range(start, start + count):
            expected[event, *PLACES[pmts[hit]]] = charges[hit], times[hit]
    wanted = np.array(data.draw(st.lists(st.integers(0, len(counts) - 1), min_size=1, max_size=20)))

    file = EventFile.open(folder / "hits.h5", Layout(pixels=folder / "pixels.npz"))
    converted = ingest(file, folder / "cache")

    assert file.events()[:].tobytes() == converted.events()[:].tobytes() == expected.tobytes()
    assert file.events()[wanted].tobytes() == converted.events()[wanted].tobytes() == expected[wanted].tobytes()
    assert file.fingerprint() == converted.fingerprint()


def test_another_map_is_converted_apart(tmp_path: Path) -> None:
    first = ingest(EventFile.open(tmp_path / "hits.h5", make(tmp_path)), tmp_path / "cache")
    np.savez(tmp_path / "other.npz", pmt_image_positions=PLACES[::-1])
    other = Layout(pixels=tmp_path / "other.npz")

    second = ingest(EventFile.open(tmp_path / "hits.h5", other), tmp_path / "cache")

    assert first.packed != second.packed
    assert np.array_equal(second.events()[:], images(tmp_path, other))


def test_simulated_hits_make_the_simulated_images(tmp_path: Path) -> None:
    write_simulation(tmp_path / "dense.h5", 100, 5)
    write_simulation(tmp_path / "hits.h5", 100, 5, hits=True)

    dense = EventFile.open(tmp_path / "dense.h5")
    hits = EventFile.open(tmp_path / "hits.h5", Layout(pixels=tmp_path / "hits.npz"))

    assert hits.events()[:].tobytes() == dense.events()[:].tobytes()
    assert (hits.count, hits.shape, hits.class_names) == (dense.count, dense.shape, dense.class_names)
    for name in ("labels", "energies", "positions", "angles"):
        assert np.array_equal(hits.column(name), dense.column(name))
    with h5py.File(tmp_path / "hits.h5") as file:
        assert [file[name].id.get_offset() is not None for name in ("hit_pmt", "hit_charge", "hit_time")] == [True] * 3


def test_hits_that_could_not_be_written_leave_nothing(tmp_path: Path) -> None:
    def blocks() -> Iterator[dict[str, np.ndarray]]:
        yield from simulate(48, 0)
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_events(tmp_path / "hits.h5", blocks(), count=96, hits=True)
    assert list(tmp_path.iterdir()) == []


class TestMistakes:
    def test_hits_without_a_map_are_told_from_a_missing_dataset(self, tmp_path: Path) -> None:
        make(tmp_path)

        with pytest.raises(DataError, match=r"it holds digitised hits .*: name the .npz .* as `data.pixels`"):
            EventFile.open(tmp_path / "hits.h5")
        with pytest.raises(DataError, match=r"has no dataset 'images'"):
            EventFile.open(tmp_path / "hits.h5", Layout(events="images", target="nothing", pixels=None))

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"hit_time": None}, "has no dataset 'hit_time'"),
            ({"hit_time": np.zeros(7, np.float32)}, "hit_pmt has 6, hit_charge has 6, hit_time has 7 hits"),
            ({"hit_charge": np.zeros((6, 2), np.float32)}, r"'hit_charge' has type float32 and shape \(6, 2\)"),
            ({"hit_pmt": np.zeros(6, np.float32)}, "'hit_pmt' has type float32 .* one axis of integers"),
            ({"event_hits_index": np.array([0, 3, 2, 5])}, "'event_hits_index' must rise from 0"),
            ({"event_hits_index": np.array([0, 3, 4, 7])}, "'event_hits_index' must rise from 0"),
        ],
    )
    def test_damaged_hits_are_named(self, tmp_path: Path, changed: dict[str, Any], message: str) -> None:
        layout = make(tmp_path, **changed)

        with pytest.raises(DataError, match=message):
            images(tmp_path, layout)

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"positions": PLACES}, "has no array 'mpmt_image_positions' or 'pmt_image_positions'; it has: positions"),
            ({"pmt_image_positions": PLACES[:, :1]}, r"has shape \(6, 1\)"),
            ({"pmt_image_positions": PLACES - 1}, "must hold integers from 0 up"),
            ({"pmt_image_positions": PLACES * 1.0}, "must hold integers from 0 up"),
            ({"pmt_image_positions": PLACES[[0, 0]]}, "gives two tubes one place"),
        ],
    )
    def test_a_map_that_is_none_is_refused(self, tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
        np.savez(tmp_path / "pixels.npz", **arrays)

        with pytest.raises(DataError, match=message):
            load_pixels(tmp_path / "pixels.npz")

    def test_a_missing_or_unreadable_map_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "text.npz").write_text("no")
        np.save(tmp_path / "single.npy", PLACES)

        with pytest.raises(DataError, match=r"none.npz: does not exist; give the .npz file"):
            load_pixels(tmp_path / "none.npz")
        for name in ("text.npz", "single.npy"):
            with pytest.raises(DataError, match=r"is not a readable \.npz file"):
                load_pixels(tmp_path / name)

    def test_hits_have_no_other_axes(self) -> None:
        with pytest.raises(ValueError, match="axes: 'NCHW'; images that are made of hits have NHWC"):
            Layout(pixels=Path("pixels.npz"), axes="NCHW")
