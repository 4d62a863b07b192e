import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage._hdf5_datasets import stored
from storage.errors import DataError
from storage.hdf5 import AXES, DTYPES, EventFile, Layout, write_events

KINDS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunked": {"chunks": True},
    "gzip": {"compression": "gzip", "compression_opts": 1},
}
STORED = {"NHWC": (7, 4, 3, 2), "NCHW": (7, 2, 4, 3), "NHW": (7, 4, 3)}


def noise(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    """Every bit pattern of the type, NaN included."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(np.random.default_rng(seed).bytes(size), dtype).reshape(shape)


def make(path: Path, *, events: np.ndarray | None = None, labels: Any = None, **more: Any) -> Path:
    """A file of seven events, NHWC, with labels, and `more` datasets."""
    events = noise((7, 4, 3, 2), "<f4") if events is None else events
    labels = np.arange(len(events)) % 3 if labels is None else labels
    with h5py.File(path, "w") as file:
        for name, values in {"event_data": events, "labels": labels, **more}.items():
            file[name] = values
    return path


@settings(max_examples=60, deadline=None)
@given(
    axes=st.sampled_from(AXES),
    dtype=st.sampled_from(DTYPES),
    order=st.sampled_from("<>"),
    kind=st.sampled_from(sorted(KINDS)),
    seed=st.integers(0, 9),
)
def test_events_are_read_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, axes: str, dtype: str, order: str, kind: str, seed: int
) -> None:
    path = tmp_path_factory.mktemp("hdf5") / "events.h5"
    written = noise(STORED[axes], np.dtype(dtype).newbyteorder(order).str, seed)
    with h5py.File(path, "w") as file:
        file.create_dataset("event_data", data=written, **KINDS[kind])

    file = EventFile.open(path, Layout(axes=axes))
    events = file.events()

    assert (file.count, file.shape) == (7, (1 if axes == "NHW" else 2, 4, 3))
    assert file.dtype == written.dtype == events.dtype
    assert isinstance(events, np.memmap) == (kind == "contiguous")
    assert np.asarray(events[:]).tobytes() == written.tobytes()


def test_a_user_block_does_not_shift_the_memory_map(tmp_path: Path) -> None:
    events = noise((5, 2, 2, 1), "<f4")
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=1024) as file:
        file["event_data"] = events

    assert EventFile.open(tmp_path / "a.h5").events().tobytes() == events.tobytes()


def test_values_of_fewer_bits_than_their_type_are_read_through_hdf5(tmp_path: Path) -> None:
    twelve_bits = h5py.h5t.STD_U16LE.copy()
    twelve_bits.set_precision(12)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        space = h5py.h5s.create_simple((2, 1, 1, 1))
        dataset = h5py.h5d.create(file.id, b"event_data", twelve_bits, space)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([5, 4095], np.uint16).reshape(2, 1, 1, 1))

    events = EventFile.open(tmp_path / "a.h5").events()

    assert isinstance(events, h5py.Dataset)
    assert events[:].ravel().tolist() == [5, 4095]


def test_an_unwritten_dataset_is_read_as_its_fill_value(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("event_data", (3, 2, 2, 1), np.float32, fillvalue=7)

    assert np.all(EventFile.open(tmp_path / "a.h5").events()[:] == 7)


def test_columns_lose_axes_of_one_and_their_byte_order(tmp_path: Path) -> None:
    path = make(
        tmp_path / "a.h5",
        energies=np.arange(7, dtype=">f4").reshape(7, 1),
        positions=np.arange(21.0).reshape(7, 1, 3),
    )

    file = EventFile.open(path)

    assert file.column("energies").tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert file.column("energies").dtype == np.float32
    assert file.column("positions").shape == (7, 3)
    assert file.column("positions")[1].tolist() == [3, 4, 5]


def test_datasets_are_found_in_groups_and_behind_links(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["run/images"] = np.zeros((4, 2, 2, 1), np.uint8)
        file["run/pid"] = np.arange(4)
        file["labels"] = h5py.SoftLink("/run/pid")

    file = EventFile.open(tmp_path / "a.h5", Layout(events="run/images"))

    assert file.column("labels").tolist() == [0, 1, 2, 3]
    assert file.datasets == {"run/images": (4, 2, 2, 1), "run/pid": (4,), "labels": (4,)}


@pytest.mark.parametrize("holder", ["labels", "/"])
def test_class_names_are_an_attribute_of_the_target_or_the_file(tmp_path: Path, holder: str) -> None:
    path = make(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file[holder].attrs["class_names"] = np.array([b"gamma", b"electron", b"muon"])

    assert EventFile.open(path).class_names == ("gamma", "electron", "muon")


def test_class_names_are_none_where_there_are_none(tmp_path: Path) -> None:
    path = make(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file.attrs["class_names"] = [1, 2]

    assert EventFile.open(path).class_names is None


def test_a_file_is_closed_once_it_was_looked_at(tmp_path: Path) -> None:
    file = EventFile.open(make(tmp_path / "a.h5"))
    file.column("labels")
    file.fingerprint()

    assert h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE) == 0


class TestMistakes:
    def test_a_missing_file_names_the_nearest(self, tmp_path: Path) -> None:
        make(tmp_path / "events.h5")

        with pytest.raises(DataError, match=r"event\.h5: does not exist.*did you mean .*events\.h5"):
            EventFile.open(tmp_path / "event.h5")

    def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="nor does the folder"):
            EventFile.open(tmp_path / "no" / "event.h5")

    def test_a_folder_is_not_a_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="is a folder"):
            EventFile.open(tmp_path)

    def test_a_text_is_not_hdf5(self, tmp_path: Path) -> None:
        (tmp_path / "a.h5").write_text("not hdf5")

        with pytest.raises(DataError, match="is not an HDF5 file"):
            EventFile.open(tmp_path / "a.h5")

    def test_an_empty_file_is_damaged(self, tmp_path: Path) -> None:
        (tmp_path / "a.h5").touch()

        with pytest.raises(DataError, match=r"is empty or damaged \(0 bytes.*download it again"):
            EventFile.open(tmp_path / "a.h5")

    @pytest.mark.parametrize("kept", [20, 100, 2000])
    def test_the_beginning_of_a_file_is_truncated_or_damaged(self, tmp_path: Path, kept: int) -> None:
        path = make(tmp_path / "a.h5")
        path.write_bytes(path.read_bytes()[:kept])

        with pytest.raises(DataError, match=r"(truncated|damaged).*download it again"):
            EventFile.open(path)

    def test_events_that_end_after_the_file_are_truncated(self, tmp_path: Path) -> None:
        path = tmp_path / "a.h5"
        with h5py.File(path, "w") as file:
            file["labels"] = np.arange(100)
            file["event_data"] = np.zeros((100, 4, 4, 2), np.float32)
        content = bytearray(path.read_bytes()[:-1000])
        content[40:48] = len(content).to_bytes(8, "little")  # the superblock then agrees with the shorter file
        path.write_bytes(content)

        with pytest.raises(DataError, match=r"event_data.*interrupted download or copy"):
            EventFile.open(path)

    def test_contiguous_events_are_compared_with_the_size_of_the_file(self, tmp_path: Path) -> None:
        path = make(tmp_path / "a.h5")

        with h5py.File(path) as handle:
            os.truncate(path, 2100)
            with pytest.raises(DataError, match=r"it has 2100 bytes of at least .*event_data"):
                stored(handle["event_data"], path)

    def test_a_file_that_is_being_written_is_refused(self, tmp_path: Path) -> None:
        path = make(tmp_path / "a.h5")
        code = f"import h5py\nf = h5py.File({str(path)!r}, 'a')\nprint('open', flush=True)\ninput()"
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()

            with pytest.raises(DataError, match="another process is writing it"):
                EventFile.open(path)
            writer.communicate("\n")
        assert EventFile.open(path).count == 7

    def test_a_file_that_is_being_read_can_be_read(self, tmp_path: Path) -> None:
        path = make(tmp_path / "a.h5")
        code = (
            "import sys\nfrom storage.hdf5 import EventFile\nprint(EventFile.open(sys.argv[1]).column('labels').sum())"
        )

        with h5py.File(path):
            run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
        assert run.stdout == "6\n"

    def test_a_missing_dataset_names_those_present_and_the_nearest(self, tmp_path: Path) -> None:
        path = make(tmp_path / "a.h5")

        with pytest.raises(DataError, match=r"no dataset 'event_dat'; it has 'event_data', 'labels'.*'event_data'$"):
            EventFile.open(path, Layout(events="event_dat"))
        with pytest.raises(DataError, match=r"no dataset 'energies'; it has 'event_data', 'labels'"):
            EventFile.open(path).column("energies")

    def test_a_group_is_not_a_dataset(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_group("event_data")

        with pytest.raises(DataError, match="it has no dataset at all"):
            EventFile.open(tmp_path / "a.h5")

    def test_a_wrong_rank_names_the_fitting_axes(self, tmp_path: Path) -> None:
        path = make(tmp_path / "a.h5", events=np.zeros((7, 4, 3), np.float32))

        with pytest.raises(DataError, match=r"has 3 axes, \(7, 4, 3\); `axes: NHWC` means 4; set `axes` to NHW"):
            EventFile.open(path)
        with pytest.raises(DataError, match="name the dataset that holds the images"):
            EventFile.open(path, Layout(events="labels"))

    @pytest.mark.parametrize("dtype", ["int64", "bool", "complex64", "S3"])
    def test_a_type_that_is_no_image_names_the_accepted(self, tmp_path: Path, dtype: str) -> None:
        path = make(tmp_path / "a.h5", events=np.zeros((7, 4, 3, 1), dtype))

        with pytest.raises(DataError, match=r"has type .*; accepted are float16, float32, .*convert it"):
            EventFile.open(path)

    @pytest.mark.parametrize("shape", [(0, 4, 3, 1), (7, 4, 0, 1)])
    def test_no_events_are_refused(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        path = make(tmp_path / "a.h5", events=np.zeros(shape, np.float32))

        with pytest.raises(DataError, match="is empty"):
            EventFile.open(path)

    def test_a_column_of_another_length_is_refused(self, tmp_path: Path) -> None:
        path = make(tmp_path / "a.h5", labels=np.arange(6))

        with pytest.raises(DataError, match=r"'labels' has shape \(6,\), but 'event_data' has 7 events"):
            EventFile.open(path).column("labels")

    def test_a_column_of_strings_is_refused(self, tmp_path: Path) -> None:
        path = make(tmp_path / "a.h5", labels=np.array([b"muon"] * 7))

        with pytest.raises(DataError, match="accepted are integers, floats and booleans"):
            EventFile.open(path).column("labels")

    def test_unknown_axes_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"axes: 'CHW' is not one of NHWC, NCHW, NHW"):
            Layout(axes="CHW")


class TestFingerprint:
    def test_is_the_same_for_the_same_contents_stored_otherwise(self, tmp_path: Path) -> None:
        events = noise((100, 3, 3, 1), "<f4")
        first = make(tmp_path / "a.h5", events=events)
        with h5py.File(tmp_path / "b.h5", "w") as file:
            file.create_dataset("event_data", data=events, compression="gzip")
            file["labels"] = np.arange(100) % 3

        assert EventFile.open(first).fingerprint() == EventFile.open(tmp_path / "b.h5").fingerprint()

    def test_differs_when_a_label_or_the_last_event_does(self, tmp_path: Path) -> None:
        events, labels = np.zeros((100, 3, 3, 1), np.float32), np.zeros(100, np.int64)
        known = EventFile.open(make(tmp_path / "a.h5", events=events, labels=labels)).fingerprint()
        events[-1, 0, 0, 0] = 1
        labels[50] = 1
        changed = EventFile.open(make(tmp_path / "a.h5", events=events, labels=labels)).fingerprint()

        assert {key for key in known if known[key] != changed[key]} == {"target_sha256", "events_sha256"}

    def test_needs_no_target(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["event_data"] = np.zeros((3, 2, 2, 1), np.float32)

        assert EventFile.open(tmp_path / "a.h5").fingerprint()["target_sha256"] is None


def block(start: int, stop: int) -> dict[str, np.ndarray]:
    """Events `start` to `stop` of a small file in the reference format."""
    index = np.arange(start, stop)
    return {
        "event_data": np.broadcast_to(index[:, None, None, None], (len(index), 4, 3, 2)).astype(np.float32),
        "labels": index % 3,
        "energies": index[:, None] * 10.0,
        "positions": np.zeros((len(index), 1, 3)),
        "angles": np.zeros((len(index), 2)),
    }


class TestWriting:
    def test_what_is_written_in_blocks_is_read_back(self, tmp_path: Path) -> None:
        write_events(
            tmp_path / "a.h5",
            (block(start, start + 5) for start in (0, 5)),
            count=10,
            class_names=("gamma", "electron", "muon"),
            attributes={"seed": 3},
        )

        file = EventFile.open(tmp_path / "a.h5")
        assert isinstance(file.events(), np.memmap)
        assert file.events()[:, 0, 0, 0].tolist() == list(range(10))
        assert file.column("energies").dtype == np.float32
        assert file.column("labels").tolist() == [i % 3 for i in range(10)]
        assert file.class_names == ("gamma", "electron", "muon")
        assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]

    def test_the_same_blocks_give_the_same_bytes(self, tmp_path: Path) -> None:
        for name in ("a.h5", "b.h5"):
            write_events(tmp_path / name, [block(0, 4)], count=4, class_names=("a", "b", "c"))

        assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()

    def test_an_existing_file_is_kept_unless_told(self, tmp_path: Path) -> None:
        path = tmp_path / "a.h5"
        path.write_text("precious")

        with pytest.raises(FileExistsError, match="exists already"):
            write_events(path, [block(0, 4)], count=4)
        assert path.read_text() == "precious"
        write_events(path, [block(0, 4)], count=4, overwrite=True)
        assert EventFile.open(path).count == 4

    @pytest.mark.parametrize(
        ("blocks", "message"),
        [
            ([block(0, 3)], "hold 3 events, fewer than count=4"),
            ([block(0, 3), block(3, 6)], "hold at least 6 events, more than count=4"),
            ([block(0, 2), {"event_data": np.zeros((2, 4, 3, 2))}], "the first had rows of"),
            ([{**block(0, 4), "labels": np.zeros(3)}], "as many in every dataset"),
        ],
    )
    def test_blocks_that_disagree_leave_no_file(
        self, tmp_path: Path, blocks: list[dict[str, np.ndarray]], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            write_events(tmp_path / "a.h5", blocks, count=4)
        assert list(tmp_path.iterdir()) == []

    def test_an_empty_file_is_not_made(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="count: 0 events"):
            write_events(tmp_path / "a.h5", [], count=0)
