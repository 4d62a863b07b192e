import errno
import json
import multiprocessing
import os
import shutil
import threading
from collections import namedtuple
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import convert

from storage import _conversion, ingest
from storage._packed import COUNTS, EVENTS, open_packed
from storage._sparse import SparseEvents, SparseForm
from storage.errors import DataError
from storage.hdf5 import AXES, DTYPES, EventFile, Layout
from storage.ingest import BESIDE, CannotConvert, cache_folder, clear, entries, with_packed

SHAPES = {"NHWC": (9, 4, 3, 2), "NCHW": (9, 2, 4, 3), "NHW": (9, 4, 3)}
KINDS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunked": {"chunks": True},
    "large chunks": {"chunks": (4, 2, 3)},
    "gzip": {"compression": "gzip", "shuffle": True},
    "lzf": {"compression": "lzf"},
    "checksum": {"fletcher32": True},
}


def bits(shape: tuple[int, ...], dtype: str, zeros: float, seed: int) -> np.ndarray:
    """Every bit pattern of the type, NaN and -0.0 included, but for a share of zeros."""
    random = np.random.default_rng(seed)
    size = int(np.prod(shape))
    values = np.frombuffer(random.bytes(size * np.dtype(dtype).itemsize), dtype).copy()
    values[random.random(size) < zeros] = 0
    if dtype[-2] == "f":
        values[random.random(size) < 0.05] = -0.0
    return values.reshape(shape)


def make(path: Path, events: np.ndarray, axes: str = "NHWC", **options: Any) -> EventFile:
    if "chunks" in options and options["chunks"] is not True:
        options["chunks"] = (*options["chunks"], *events.shape[3:])
    with h5py.File(path, "w") as file:
        file.create_dataset("event_data", data=events, **options)
        file["labels"] = np.arange(len(events)) % 3
    return EventFile.open(path, Layout(axes=axes))


@pytest.fixture
def file(tmp_path: Path) -> EventFile:
    return make(tmp_path / "a.h5", bits(SHAPES["NHWC"], "<f4", 0.9, 0), compression="gzip")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@settings(max_examples=150, deadline=None)
@given(
    axes=st.sampled_from(AXES),
    dtype=st.sampled_from(DTYPES),
    order=st.sampled_from("<>"),
    kind=st.sampled_from(sorted(KINDS)),
    zeros=st.sampled_from([0.0, 0.5, 0.97, 1.0]),
    seed=st.integers(0, 99),
    indices=st.lists(st.integers(0, 8), min_size=1, max_size=12),
)
def test_what_comes_out_is_what_went_in_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory,
    axes: str,
    dtype: str,
    order: str,
    kind: str,
    zeros: float,
    seed: int,
    indices: list[int],
) -> None:
    folder = tmp_path_factory.mktemp("ingest")
    stored = np.dtype(dtype).newbyteorder(order).str
    written = bits(SHAPES[axes], stored, zeros, seed)
    file = make(folder / "a.h5", written, axes, **KINDS[kind])
    native = written.astype(written.dtype.newbyteorder("="))

    converted = ingest.ingest(file, folder / "cache")
    events = converted.events()

    assert file.needs_conversion == (kind != "contiguous" or not np.dtype(stored).isnative)
    assert not converted.needs_conversion
    assert events[:].tobytes() == native.tobytes()
    assert events[np.array(indices)].tobytes() == native[indices].tobytes()
    assert events[indices[0]].tobytes() == native[indices[0]].tobytes()
    assert converted.fingerprint() == file.fingerprint()
    if converted.packed is not None:
        assert converted.dtype.isnative
        assert converted.packed.sparse == (zeros > 0.9)


def test_streamed_and_loaded_events_are_the_mapped_ones(file: EventFile, cache: Path) -> None:
    packed = ingest.ingest(file, cache).packed
    assert packed is not None
    order = np.array([8, 0, 3, 3])

    streamed, loaded = packed.streamed(), packed.streamed().loaded(order)

    assert streamed[order].tobytes() == loaded[:].tobytes() == file.events()[:][order].tobytes()


@pytest.mark.parametrize("size", [1, 2**16, 2**16 + 1])
def test_positions_are_wide_enough_for_any_event(size: int) -> None:
    form = SparseForm((size,), np.dtype(np.uint8))
    event = np.zeros((1, size), np.uint8)
    event[0, [0, -1]] = 7

    records, counts = form.encode(event)

    out = SparseEvents(form, counts, records=np.frombuffer(records, np.uint8))[:]
    assert np.array_equal(out, event)


class TestCache:
    def test_is_beside_the_data_unless_a_folder_is_given(self, tmp_path: Path) -> None:
        assert cache_folder(tmp_path / "a.h5", None) == tmp_path / BESIDE
        assert cache_folder(tmp_path / "a.h5", tmp_path / "other") == tmp_path / "other"

    def test_a_second_time_nothing_is_read_or_converted(self, file: EventFile, cache: Path) -> None:
        done: list[str] = []
        ingest.ingest(file, cache, progress=lambda doing, *_: done.append(doing))
        before, said = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}, len(done)

        again = ingest.ingest(file, cache, progress=lambda doing, *_: done.append(doing))

        assert again.packed is not None
        assert set(done) == {"reading", "converting"}
        assert len(done) == said
        assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before
        assert with_packed(file, cache).packed == again.packed

    def test_a_copy_of_the_file_finds_what_was_converted(self, file: EventFile, cache: Path, tmp_path: Path) -> None:
        first = ingest.ingest(file, cache)
        shutil.copy(file.path, tmp_path / "copy.h5")
        done: list[str] = []

        copy = ingest.ingest(EventFile.open(tmp_path / "copy.h5"), cache, progress=lambda doing, *_: done.append(doing))

        assert copy.packed == first.packed
        assert set(done) == {"reading"}

    def test_a_changed_file_is_converted_anew(self, file: EventFile, cache: Path) -> None:
        first = ingest.ingest(file, cache)
        events = file.events()[:]
        events[4] += 1
        changed = make(file.path, events, compression="gzip")
        os.utime(file.path, ns=(1, 1))

        second = ingest.ingest(changed, cache)

        assert first.packed != second.packed
        assert second.events()[:].tobytes() == events.tobytes()
        assert len(entries(cache)) == 2

    def test_a_file_that_changes_meanwhile_is_refused(self, file: EventFile, cache: Path) -> None:
        def touch(doing: str, done: int, total: int) -> None:
            os.utime(file.path, ns=(done + 1, done + 1))

        with pytest.raises(DataError, match="was changed while its events were being converted"):
            ingest.ingest(file, cache, progress=touch)
        assert with_packed(file, cache).packed is None

    @pytest.mark.parametrize("broken", [EVENTS, COUNTS, "entry.json"])
    def test_an_incomplete_entry_is_made_anew(self, file: EventFile, cache: Path, broken: str) -> None:
        packed = ingest.ingest(file, cache).packed
        assert packed is not None
        (packed.folder / broken).unlink()

        assert open_packed(packed.folder) is None
        assert with_packed(file, cache).packed is None
        assert ingest.ingest(file, cache).events()[:].tobytes() == file.events()[:].tobytes()

    def test_an_entry_of_another_format_is_made_anew(self, file: EventFile, cache: Path) -> None:
        packed = ingest.ingest(file, cache).packed
        assert packed is not None
        told = json.loads((packed.folder / "entry.json").read_text())
        (packed.folder / "entry.json").write_text(json.dumps(told | {"format": 0}))

        assert ingest.ingest(file, cache).packed == packed
        assert json.loads((packed.folder / "entry.json").read_text()) == told

    def test_lists_and_clears_what_it_holds_and_nothing_else(self, file: EventFile, cache: Path) -> None:
        ingest.ingest(file, cache)
        (cache / "mine").mkdir()
        (entry,) = entries(cache)

        clear(cache)

        assert (entry.source, entry.events, entry.sparse) == (str(file.path), 9, True)
        assert entry.dense_nbytes == 9 * 4 * 3 * 2 * 4
        assert [path.name for path in cache.iterdir()] == ["mine"]
        assert entries(cache) == []

    def test_is_removed_with_its_folder(self, file: EventFile, cache: Path) -> None:
        ingest.ingest(file, cache)

        clear(cache)
        clear(cache)

        assert not cache.exists()

    def test_what_is_open_stays_readable_after_clearing(self, file: EventFile, cache: Path) -> None:
        events = ingest.ingest(file, cache).events()

        clear(cache)

        assert events[:].tobytes() == file.events()[:].tobytes()


class TestSeveral:
    def test_one_of_many_converts_and_all_get_it(self, file: EventFile, cache: Path) -> None:
        context = multiprocessing.get_context("spawn")
        out = context.Queue()
        children = [context.Process(target=convert, args=(file.path, cache, out)) for _ in range(4)]
        for child in children:
            child.start()

        answers = [out.get(timeout=120) for _ in children]

        for child in children:
            child.join()
        assert {content for content, _ in answers} == {file.events()[:].tobytes()}
        assert sum(converted for _, converted in answers) == 1

    def test_who_comes_second_says_that_it_waits(self, file: EventFile, cache: Path) -> None:
        begun, go_on, waited = threading.Event(), threading.Event(), threading.Event()

        def slowly(doing: str, done: int, total: int) -> None:
            if doing == "converting":
                begun.set()
                go_on.wait(60)

        first = threading.Thread(target=ingest.ingest, args=(file, cache), kwargs={"progress": slowly})
        first.start()
        assert begun.wait(60)

        def wait() -> None:
            waited.set()
            clear(cache)  # leaves alone what is being written
            go_on.set()

        second = ingest.ingest(file, cache, waiting=wait)
        first.join()

        assert waited.is_set()
        assert second.events()[:].tobytes() == file.events()[:].tobytes()

    def test_without_locks_both_convert_and_either_s_result_is_good(
        self, file: EventFile, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_locks(*_: Any) -> None:
            raise OSError(errno.ENOLCK, "no locks")

        monkeypatch.setattr("fcntl.flock", no_locks)
        barrier = threading.Barrier(2, timeout=60)
        failed: list[BaseException] = []

        def together(doing: str, done: int, total: int) -> None:
            if doing == "converting":
                barrier.wait()

        def run() -> None:
            try:
                ingest.ingest(file, cache, progress=together)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failed == []
        assert with_packed(file, cache).events()[:].tobytes() == file.events()[:].tobytes()

    def test_what_a_killed_process_left_is_removed(self, file: EventFile, cache: Path) -> None:
        packed = ingest.ingest(file, cache).packed
        assert packed is not None
        left = cache / f".{packed.folder.name}-0123abcd.partial"
        packed.folder.rename(left)

        ingest.ingest(file, cache)

        assert not left.exists()


class TestNoRoom:
    def test_a_full_disk_is_told_before_anything_is_written(
        self, file: EventFile, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr("shutil.disk_usage", lambda _: usage(1, 1, 1))

        with pytest.raises(CannotConvert, match=r"a\.h5: .*needs .* GB, and 1e-09 GB are free; make room there, set"):
            ingest.ingest(file, cache)
        assert entries(cache) == []

    def test_a_disk_that_becomes_full_leaves_nothing(
        self, file: EventFile, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: Any, **__: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(_conversion, "write_packed", full)

        with pytest.raises(CannotConvert, match="No space left on device"):
            ingest.ingest(file, cache)
        assert [path for path in cache.iterdir() if path.is_dir()] == []

    def test_a_folder_that_cannot_be_made_is_named(self, file: EventFile, tmp_path: Path) -> None:
        (tmp_path / "occupied").write_text("")

        with pytest.raises(CannotConvert, match=r"occupied/cache is not possible: Not a directory"):
            ingest.ingest(file, tmp_path / "occupied" / "cache")

    def test_a_damaged_file_is_named_and_leaves_nothing(self, file: EventFile, cache: Path) -> None:
        with h5py.File(file.path) as handle:
            chunk = handle["event_data"].id.get_chunk_info(0)
        with file.path.open("r+b") as raw:
            raw.seek(chunk.byte_offset)
            raw.write(b"\xff" * chunk.size)

        with pytest.raises(DataError, match=r"a\.h5: the events cannot be read, as after an interrupted download"):
            ingest.ingest(file, cache)
        assert entries(cache) == []

    def test_values_of_another_file_are_not_kept(self, tmp_path: Path, cache: Path) -> None:
        make(tmp_path / "real.h5", bits(SHAPES["NHWC"], "<f4", 0.9, 0))
        with h5py.File(tmp_path / "linking.h5", "w") as handle:
            handle["event_data"] = h5py.ExternalLink("real.h5", "event_data")
            handle["labels"] = np.arange(9)
        linking = EventFile.open(tmp_path / "linking.h5")

        with pytest.raises(CannotConvert, match="the values of dataset 'event_data' lie in another file"):
            ingest.ingest(linking, cache)
        real = EventFile.open(tmp_path / "real.h5")
        assert np.asarray(linking.events()[:]).tobytes() == real.events()[:].tobytes()
