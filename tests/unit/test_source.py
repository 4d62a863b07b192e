import os
import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives import _source
from objectives._data import (
    CACHES,
    Dataset,
    DataSettings,
    MemorySource,
    StreamSource,
    check_finite,
    load_source,
    non_finite,
    open_dataset,
    to_tensor,
)
from objectives._memory import available_memory
from objectives._source import memory_needed
from objectives._split import Selection, Split
from storage.errors import DataError
from storage.hdf5 import AXES, DTYPES, EventFile, Layout
from storage.ingest import ingest

COUNT = 50
SHAPES = {"NHWC": (COUNT, 4, 3, 2), "NCHW": (COUNT, 2, 4, 3), "NHW": (COUNT, 4, 3)}
KINDS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunked": {"chunks": True},
    "gzip": {"compression": "gzip", "compression_opts": 1},
}


def values(dtype: str, axes: str = "NHWC") -> np.ndarray:
    numbers = np.random.default_rng(0).uniform(-100, 100, SHAPES[axes])
    return (numbers if dtype[-2] == "f" else np.abs(numbers)).astype(dtype)


def make(path: Path, events: np.ndarray, axes: str = "NHWC", **options: Any) -> Dataset:
    with h5py.File(path, "w") as file:
        file.create_dataset("event_data", data=events, **options)
        file["labels"] = np.arange(len(events)) % 3
    return open_dataset(DataSettings(path, Layout(axes=axes)), stratify=True)


def read(source: Any, positions: Any) -> np.ndarray:
    out = np.empty((len(positions), *source.shape), source.dtype)
    source.rows(np.asarray(positions, np.int64), out)
    return out


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return make(tmp_path / "a.h5", values("<f4"))


@settings(max_examples=60, deadline=None)
@given(
    axes=st.sampled_from(AXES),
    dtype=st.sampled_from(DTYPES),
    order=st.sampled_from("<>"),
    kind=st.sampled_from(sorted(KINDS)),
    cache=st.sampled_from(CACHES),
    indices=st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=80),
    data=st.data(),
)
def test_rows_are_the_events_at_the_indices(
    tmp_path_factory: pytest.TempPathFactory,
    axes: str,
    dtype: str,
    order: str,
    kind: str,
    cache: Any,
    indices: list[int],
    data: st.DataObject,
) -> None:
    events = values(np.dtype(dtype).newbyteorder(order).str, axes)
    dataset = make(tmp_path_factory.mktemp("source") / "a.h5", events, axes, **KINDS[kind])
    positions = data.draw(st.lists(st.integers(0, len(indices) - 1), max_size=20))

    source = load_source(dataset, np.array(indices), cache)

    expected = events[np.array(indices)][np.array(positions, np.int64)]
    given = to_tensor(read(source, positions), axes)
    assert len(source) == len(indices)
    assert torch.equal(given, to_tensor(expected, axes))
    assert given.shape == (len(positions), *dataset.shape)


def test_memory_is_native_read_only_and_no_wider_than_float32(tmp_path: Path) -> None:
    stored, kept = [">f8", ">f4", "<f2", ">u2", "|u1"], ["<f4", "<f4", "<f2", "<u2", "|u1"]

    sources = [load_source(make(tmp_path / f"{i}.h5", values(t)), np.arange(9), "memory") for i, t in enumerate(stored)]

    assert [source.dtype.str for source in sources] == kept


def test_auto_reads_the_file_when_memory_is_short(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    size = 30 * 4 * 3 * 2 * 4
    monkeypatch.setattr(_source, "available_memory", lambda: size / 0.6)
    assert isinstance(load_source(dataset, np.arange(30)), MemorySource)
    assert isinstance(load_source(dataset, np.arange(31)), StreamSource)
    assert isinstance(load_source(dataset, np.arange(31), "memory"), MemorySource)
    assert "reading from the file, which is slower" in caplog.text


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_loading_leaves_no_file_open(tmp_path: Path, kind: str) -> None:
    dataset = make(tmp_path / "a.h5", values("<f4"), **KINDS[kind])
    before = set(os.listdir("/proc/self/fd"))

    source = load_source(dataset, dataset.split.training, "memory")

    assert h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE) == 0
    assert set(os.listdir("/proc/self/fd")) == before
    assert len(source) == 40


_SMALL = """
import sys
from pathlib import Path
import numpy as np
from objectives._dataset import DataSettings, open_dataset
from objectives._source import StreamSource, load_source

def peak_kib():  # of this program; getrusage would give that of the process before its exec
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

before = peak_kib()
dataset = open_dataset(DataSettings(Path(sys.argv[1])), stratify=True)
source = load_source(dataset, dataset.split.training)
out = np.empty((50, *source.shape), source.dtype)
order = np.random.default_rng(0).permutation(len(source))
for start in range(0, len(order), 50):
    source.rows(order[start : start + 50], out[: len(order[start : start + 50])])
    for position, row in zip(order[start:], out):
        assert row.ravel()[0] == dataset.split.training[position]
taken = peak_kib() - before
print(type(source).__name__, taken // 1024)
"""


@pytest.mark.parametrize("limit_mb", [None, 450])
def test_a_split_that_does_not_fit_into_a_small_memory_is_streamed_without_taking_it(
    tmp_path: Path, limit_mb: int | None
) -> None:
    path, count = tmp_path / "large.h5", 4000
    with h5py.File(path, "w") as file:  # 400 MB
        events = file.create_dataset("event_data", (count, 50, 50, 10), np.float32)
        for start in range(0, count, 500):
            events[start : start + 500] = np.repeat(np.arange(start, start + 500), 25000).reshape(-1, 50, 50, 10)
        file["labels"] = np.arange(count) % 3

    def limited() -> None:
        if limit_mb is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (limit_mb * 2**20, limit_mb * 2**20))

    run = subprocess.run(
        [sys.executable, "-c", _SMALL, path],
        capture_output=True,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=limited,
    )

    assert run.returncode == 0, run.stderr
    kind, taken_mb = run.stdout.split()
    assert kind == ("MemorySource" if limit_mb is None else "StreamSource")
    assert (int(taken_mb) > 300) == (limit_mb is None)


def test_a_streamed_file_that_has_become_shorter_is_named(dataset: Dataset) -> None:
    source = load_source(dataset, np.arange(10), "stream")
    os.truncate(dataset.file.path, 2100)

    with pytest.raises(DataError, match=r"a\.h5: ends before byte .*; it has been changed since it was opened"):
        read(source, [9])


class TestConverted:
    @pytest.fixture
    def sparse(self, tmp_path: Path) -> Dataset:
        events = values("<f4")
        events[np.abs(events) < 95] = 0
        dataset = make(tmp_path / "a.h5", events, compression="gzip")
        return replace(dataset, file=ingest(dataset.file, tmp_path / "cache"))

    @pytest.mark.parametrize("cache", CACHES)
    def test_sparse_events_come_from_wherever_they_are_wanted(self, sparse: Dataset, cache: Any) -> None:
        assert sparse.file.packed is not None
        assert sparse.file.packed.sparse

        source = load_source(sparse, np.array([40, 3, 7]), cache)

        assert np.array_equal(read(source, [2, 0, 0]), EventFile.open(sparse.file.path).events()[:][[7, 40, 40]])

    def test_sparse_events_fit_into_a_memory_that_dense_ones_do_not(
        self, sparse: Dataset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        needed = memory_needed(sparse.file, np.arange(COUNT))
        monkeypatch.setattr(_source, "available_memory", lambda: needed / 0.6)

        assert needed < 0.2 * values("<f4").nbytes
        assert isinstance(load_source(sparse, np.arange(COUNT)), MemorySource)

    def test_what_has_been_converted_is_found_when_a_dataset_is_opened(self, sparse: Dataset, tmp_path: Path) -> None:
        found = open_dataset(DataSettings(sparse.file.path, cache_folder=tmp_path / "cache"), stratify=True)
        elsewhere = open_dataset(DataSettings(sparse.file.path), stratify=True)

        assert found.file.packed == sparse.file.packed
        assert elsewhere.file.packed is None

    def test_bad_values_are_found_in_sparse_events_too(self, tmp_path: Path) -> None:
        events = np.zeros(SHAPES["NHWC"], np.float32)
        events[7, 0, 0, 0] = np.nan
        dataset = make(tmp_path / "a.h5", events, compression="gzip")
        dataset = replace(dataset, file=ingest(dataset.file, tmp_path / "cache"))

        with pytest.raises(DataError, match=r"a\.h5: .*1 NaN and 0 infinite values in 1 events, first in event 7"):
            load_source(dataset, np.arange(COUNT)[::-1], "memory")


_FORK = """
import os, sys, threading
from pathlib import Path
import numpy as np
from objectives._dataset import DataSettings, open_dataset
from objectives._source import load_source

events = np.load(sys.argv[1])
for path in sys.argv[2:]:
    dataset = open_dataset(DataSettings(Path(path)), stratify=True)
    for cache in ("memory", "map", "stream"):
        source = load_source(dataset, np.arange(len(events)), cache)
        out = np.empty_like(events[:2])
        assert threading.active_count() == len(os.listdir("/proc/self/task")) == 1
        assert "torch" not in sys.modules
        child = os.fork()
        source.rows(np.array([7, 3]), out)
        if child == 0:
            os._exit(0 if np.array_equal(out, events[[7, 3]]) else 1)
        assert os.waitpid(child, 0)[1] == 0, (path, cache)
"""


def test_a_process_may_fork_after_loading_and_both_read_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "events.npy", values("<f4"))
    paths = [make(tmp_path / f"{kind}.h5", values("<f4"), **KINDS[kind]).file.path for kind in KINDS]

    run = subprocess.run(
        [sys.executable, "-c", _FORK, tmp_path / "events.npy", *paths],
        capture_output=True,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )

    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("cache", ["memory", "map", "stream"])
@pytest.mark.parametrize(("positions", "named"), [([0, -1], "-1"), ([10, 3], "10"), ([2**40], "1099511627776")])
def test_a_position_out_of_range_is_named_and_nothing_is_copied(
    dataset: Dataset, cache: Any, positions: list[int], named: str
) -> None:
    source = load_source(dataset, np.arange(10), cache)
    out = np.zeros((len(positions), *source.shape), source.dtype)

    with pytest.raises(IndexError, match=f"positions: {named} is out of range for 10 events; give 0 to 9"):
        source.rows(np.array(positions), out)
    assert not out.any()


def test_an_output_of_another_shape_or_type_is_refused(dataset: Dataset) -> None:
    source = load_source(dataset, np.arange(10))

    with pytest.raises(ValueError, match=r"out: float32 \(2, 4, 3, 2\); needed is float32 \(3, 4, 3, 2\)"):
        source.rows(np.arange(3), np.empty((2, 4, 3, 2), np.float32))
    with pytest.raises(ValueError, match="out: float64"):
        source.rows(np.arange(3), np.empty((3, 4, 3, 2)))


def test_indices_that_are_not_in_the_file_are_refused(dataset: Dataset) -> None:
    with pytest.raises(IndexError, match="indices: 0 to 50; the file has events 0 to 49"):
        load_source(dataset, np.array([0, 50]))


def test_an_unknown_cache_is_refused(dataset: Dataset) -> None:
    with pytest.raises(ValueError, match="cache: 'disk' is not one of auto, memory, map, stream"):
        load_source(dataset, np.arange(3), "disk")  # type: ignore[arg-type]


class TestFinite:
    @pytest.fixture
    def broken(self, tmp_path: Path) -> Dataset:
        events = values("<f4")
        events[7, 0, 0, 0] = np.nan
        events[7, 1, 1, 1] = np.inf
        events[31, 0, 0, 0] = -np.inf
        return make(tmp_path / "a.h5", events)

    def test_bad_values_are_counted(self, broken: Dataset) -> None:
        tally = non_finite(broken.file)

        assert (tally.events, tally.first, tally.nan, tally.infinite) == (2, 7, 1, 2)

    @pytest.mark.parametrize("indices", [np.arange(COUNT), np.arange(COUNT)[::-1]])
    def test_loading_bad_values_names_the_first_event(self, broken: Dataset, indices: np.ndarray) -> None:
        with pytest.raises(DataError, match=r"1 NaN and 2 infinite values in 2 events, first in event 7"):
            load_source(broken, indices, "memory")

    def test_events_not_asked_for_do_not_matter(self, broken: Dataset) -> None:
        check_finite(broken.file, np.arange(7))
        load_source(broken, np.arange(8, 31), "memory")
        with pytest.raises(DataError, match="first in event 31"):
            check_finite(broken.file, np.arange(8, COUNT))

    def test_blocks_do_not_hide_anything(self, broken: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("objectives._blocks._BLOCK", 1000)  # bytes: ten events

        assert non_finite(broken.file).events == 2

    def test_values_beyond_float32_are_infinite(self, tmp_path: Path) -> None:
        events = values("<f8")
        events[3] = 1e300
        dataset = make(tmp_path / "a.h5", events)

        with pytest.raises(DataError, match="24 infinite values in 1 events, first in event 3"):
            check_finite(dataset.file)

    def test_large_values_are_finite_though_their_sum_is_not(self, tmp_path: Path) -> None:
        dataset = make(tmp_path / "a.h5", np.full(SHAPES["NHWC"], 3e38, np.float32))

        check_finite(dataset.file)

    def test_integers_are_finite(self, tmp_path: Path) -> None:
        check_finite(make(tmp_path / "a.h5", values("|u1")).file)


class TestTensor:
    def test_native_float32_is_not_copied_and_is_channels_last(self) -> None:
        batch = values("<f4")

        tensor = to_tensor(batch, "NHWC")

        assert tensor.data_ptr() == batch.ctypes.data
        assert np.shares_memory(tensor.numpy(), batch)
        assert tensor.shape == (COUNT, 2, 4, 3)
        assert tensor.is_contiguous(memory_format=torch.channels_last)
        assert tensor[5, 1, 2, 0] == batch[5, 2, 0, 1]

    @pytest.mark.parametrize("axes", AXES)
    @pytest.mark.parametrize("dtype", [">f4", "<f8", ">f8", "<f2"])
    def test_every_float_becomes_float32(self, axes: str, dtype: str) -> None:
        batch = values(dtype, axes)

        tensor = to_tensor(batch, axes)

        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, to_tensor(batch.astype("<f4"), axes))

    @pytest.mark.parametrize("dtype", ["|u1", "|i1", "<u2", ">u2", "<i2", "<i4", ">i4"])
    def test_the_largest_integer_becomes_one(self, dtype: str) -> None:
        batch = np.zeros((2, 3, 3, 1), dtype)
        batch[1] = np.iinfo(batch.dtype).max

        tensor = to_tensor(batch, "NHWC")

        assert tensor.dtype == torch.float32
        assert torch.all(tensor[0] == 0)
        assert torch.all(tensor[1] == 1)

    def test_images_without_channels_get_one(self) -> None:
        batch = values("<f4", "NHW")

        tensor = to_tensor(batch, "NHW")

        assert tensor.shape == (COUNT, 1, 4, 3)
        assert np.shares_memory(tensor.numpy(), batch)

    def test_read_only_events_are_copied(self, dataset: Dataset) -> None:
        assert to_tensor(dataset.file.events()[:2], "NHWC").shape == (2, 2, 4, 3)

    def test_unknown_axes_are_refused(self) -> None:
        with pytest.raises(ValueError, match="axes: 'HWC'"):
            to_tensor(values("<f4"), "HWC")


class TestOpening:
    def test_gives_targets_split_and_fingerprint(self, dataset: Dataset) -> None:
        assert (dataset.count, dataset.shape, dataset.axes) == (COUNT, (2, 4, 3), "NHWC")
        assert dataset.targets.tolist() == [i % 3 for i in range(COUNT)]
        assert dataset.used.tolist() == list(range(COUNT))
        assert dataset.fingerprint == dataset.file.fingerprint()

    def test_divides_the_selected_events_by_class(self, dataset: Dataset) -> None:
        settings = DataSettings(dataset.file.path, validation=0.25, test=0.25, selection=Selection(classes=(0, 1)))

        chosen = open_dataset(settings, stratify=True)

        assert set(chosen.targets[chosen.used]) == {0, 1}
        assert np.bincount(chosen.targets[chosen.split.validation]).tolist() in ([4, 5], [5, 4])

    def test_takes_the_split_of_a_file(self, dataset: Dataset, tmp_path: Path) -> None:
        np.savez(tmp_path / "s.npz", train_idxs=[4, 0], val_idxs=[1], test_idxs=[])
        settings = DataSettings(dataset.file.path, split_file=tmp_path / "s.npz")

        split: Split = open_dataset(settings, stratify=True).split

        assert (split.training.tolist(), split.validation.tolist(), split.test.tolist()) == ([0, 4], [1], [])

    @pytest.mark.parametrize(
        ("labels", "stratify", "message"),
        [
            (np.array([0.0, 0.5] * 25), True, "has 0.5 at event 1 and 24 more such; classes are whole numbers"),
            (np.array([0.0, np.nan] * 25), False, "has nan at event 1 and 24 more such; targets are finite"),
            (np.zeros((COUNT, 2)), False, "has 2 numbers per event"),
        ],
    )
    def test_refuses_targets_that_are_none(
        self, dataset: Dataset, labels: np.ndarray, stratify: bool, message: str
    ) -> None:
        with h5py.File(dataset.file.path, "a") as file:
            del file["labels"]
            file["labels"] = labels

        with pytest.raises(DataError, match=message):
            open_dataset(DataSettings(dataset.file.path), stratify=stratify)

    def test_refuses_settings_that_cannot_be(self) -> None:
        with pytest.raises(ValueError, match="validation: 2"):
            DataSettings(Path("a.h5"), validation=2)
        with pytest.raises(ValueError, match="cache: 'ram'"):
            DataSettings(Path("a.h5"), cache="ram")  # type: ignore[arg-type]


class TestMemory:
    @pytest.fixture
    def machine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1000))

    def group(self, folder: Path, names: tuple[str, str], limit: str, usage: int, cache: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / names[0]).write_text(limit + "\n")
        (folder / names[1]).write_text(f"{usage}\n")
        (folder / "memory.stat").write_text(f"anon 1\n{cache}\n")

    @pytest.mark.usefixtures("machine")
    def test_is_that_of_the_tightest_control_group(self, tmp_path: Path) -> None:
        new = ("memory.max", "memory.current")
        self.group(tmp_path / "job", new, "700", 500, "inactive_file 100")
        self.group(tmp_path / "job" / "step", new, "max", 400)
        membership = tmp_path / "membership"
        membership.write_text("0::/job/step\n")

        assert available_memory(tmp_path, membership) == 300

    @pytest.mark.usefixtures("machine")
    def test_knows_control_groups_of_version_one(self, tmp_path: Path) -> None:
        old = ("memory.limit_in_bytes", "memory.usage_in_bytes")
        self.group(tmp_path / "memory", old, "600", 500)
        membership = tmp_path / "membership"
        membership.write_text("9:cpu:/elsewhere\n4:memory:/docker/abc\n0::/\n")

        assert available_memory(tmp_path, membership) == 100

    def test_is_what_a_limit_of_this_process_leaves(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("resource.getrlimit", lambda kind: (2**20, resource.RLIM_INFINITY))

        assert available_memory() == 0

    @pytest.mark.usefixtures("machine")
    def test_is_the_machine_s_without_limits(self, tmp_path: Path) -> None:
        assert available_memory(tmp_path, tmp_path / "no") == 1000


class TestCopies:
    @pytest.mark.parametrize("cache", ["memory", "map", "stream"])
    def test_a_batch_is_written_where_it_is_wanted_without_another_copy(self, tmp_path: Path, cache: Any) -> None:
        events = np.ones((64, 32, 32, 8), np.float32)
        source = load_source(make(tmp_path / "a.h5", events), np.arange(64), cache)
        positions, out = np.arange(64)[::-1].copy(), np.empty_like(events)

        assert peak_of(lambda: source.rows(positions, out)) < 0.1 * events.nbytes

    def test_a_sparse_batch_needs_the_positions_of_one_event_beside_it(self, tmp_path: Path) -> None:
        events = np.zeros((64, 32, 32, 8), np.float32)
        events[:, :4] = 1
        dataset = make(tmp_path / "a.h5", events, compression="gzip")
        source = load_source(replace(dataset, file=ingest(dataset.file, tmp_path / "cache")), np.arange(64))
        positions, out = np.arange(64)[::-1].copy(), np.empty_like(events)

        assert peak_of(lambda: source.rows(positions, out)) < 0.1 * events.nbytes
        assert np.array_equal(out, events)


def peak_of(work: Callable[[], None]) -> int:
    """Bytes that Python and NumPy allocate at most while it runs, beyond what was there."""
    work()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
