"""Events per second of the data path: the tutorial's way, whole-batch h5py, ours, and memcpy of the same bytes.

    python -P benchmarks/data_path.py [--events 6000] [--repeats 7] [--json FILE]
    python -P benchmarks/data_path.py --cold [--cold-events 24000] [--limit-mb 1024]

Warm: the file is in the page cache; batches of 64 and 256 in random order. The reference is an event-by-event `Dataset`
over a memory map, with the transpose to channels first that the tutorial makes, in a torch DataLoader of 0 and of 2
worker processes. Ours ends with the tensor that a network takes. Every way runs once in each repeat, in turn; a ratio
is the median of the repeats' ratios.

Cold: before each measurement the file's pages are dropped (`posix_fadvise(DONTNEED)`). It runs in a process whose
memory is limited to less than the file, so that ours chooses by itself to stream.

The events are simulated ones, of 38 channels × 16 × 40 (97 kB); one thread computes.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import h5py
import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from objectives._data import DataSettings, batches, load_source, open_dataset, to_tensor
from objectives._dataset import Cache, Dataset
from storage.hdf5 import EventFile
from storage.ingest import ingest
from study.simulation.events import simulate

SIMULATED = 1500
"""Events that are simulated; larger files repeat them."""
WORKERS = (0, 2)
"""Of the reference's DataLoader."""


class EventByEvent(TorchDataset[Any]):
    """The tutorial's: one event at a time from a memory map, its axes turned to channels first."""

    def __init__(self, path: Path) -> None:
        file = EventFile.open(path)
        self._path, self._offset, self._shape = path, file.stored.offset or 0, file.stored.shape
        self._events: Any = None
        self._labels = file.column("labels")

    def __len__(self) -> int:
        return self._shape[0]

    def __getitem__(self, index: int) -> Any:
        if self._events is None:
            self._events = np.memmap(self._path, np.float32, mode="r", offset=self._offset, shape=self._shape)
        return torch.from_numpy(np.ascontiguousarray(self._events[index].transpose(2, 0, 1))), self._labels[index]


Way = Callable[[Any, int], int]
"""Reads the events in an order, in batches of a size; how many there were."""


def reference(path: Path, workers: int) -> Way:
    """The tutorial's way."""
    dataset = EventByEvent(path)

    def read(order: Any, batch: int) -> int:
        loader: Any = DataLoader(dataset, batch_size=batch, sampler=order.tolist(), num_workers=workers)
        return sum(len(images) for images, _ in loader)

    return read


def whole_batches(path: Path) -> Way:
    """One sorted fancy index into the HDF5 dataset per batch."""

    def read(order: Any, batch: int) -> int:
        seen = 0
        with h5py.File(path) as file:
            events = file["event_data"]
            for start in range(0, len(order), batch):
                rows = np.sort(order[start : start + batch])
                seen += len(to_tensor(events[rows], "NHWC"))
        return seen

    return read


def ours(dataset: Dataset, cache: Cache) -> Way:
    """Our data path, from wherever `cache` says."""
    source = load_source(dataset, np.arange(dataset.count), cache)

    def read(order: Any, batch: int) -> int:
        return sum(len(to_tensor(events, "NHWC")) for events in batches(source, order, batch))

    return read


def memcpy(dataset: Dataset) -> Way:
    """The same bytes copied one after another into three buffers in turn: what the memory can do."""
    events = np.array(dataset.file.events()[:])

    def read(order: Any, batch: int) -> int:
        buffers = [np.empty((batch, *events.shape[1:]), events.dtype) for _ in range(3)]
        for number, start in enumerate(range(0, len(order), batch)):
            block = events[start : start + batch]
            np.copyto(buffers[number % 3][: len(block)], block)
        return len(order)

    return read


def write_file(path: Path, count: int) -> None:
    """Simulated events, repeated up to a number."""
    whole = {name: np.concatenate(parts) for name, parts in _simulated(min(count, SIMULATED)).items()}
    with h5py.File(path, "w") as file:
        for name, values in whole.items():
            dataset = file.create_dataset(name, (count, *values.shape[1:]), values.dtype)
            for start in range(0, count, len(values)):
                stop = min(start + len(values), count)
                dataset[start:stop] = values[: stop - start]


def _simulated(count: int) -> dict[str, list[Any]]:
    blocks: dict[str, list[Any]] = {}
    for block in simulate(count, 0):
        for name, values in block.items():
            blocks.setdefault(name, []).append(values)
    return blocks


@dataclass(frozen=True)
class Row:
    """One way at one batch size: events per second, and ratios to others of the same repeat."""

    way: str
    batch: int
    rates: list[float]
    to_memcpy: list[float]
    to_reference: list[float]


def measured(ways: dict[str, Way], count: int, batch: int, repeats: int, seed: int) -> dict[str, list[float]]:
    """Events per second of each way in each repeat."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    random = np.random.default_rng(seed)
    for repeat in range(repeats + 1):
        order = random.permutation(count)
        for name in list(ways)[repeat % len(ways) :] + list(ways)[: repeat % len(ways)]:
            began = time.perf_counter()
            seen = ways[name](order, batch)
            rates[name].append(seen / (time.perf_counter() - began))
    return {name: values[1:] for name, values in rates.items()}  # the first repeat warms everything


def table(rates: dict[str, list[float]], batch: int) -> list[Row]:
    """Rows with ratios; the reference is the better of its numbers of workers."""
    best = max((name for name in rates if name.startswith("reference")), key=lambda name: median(rates[name]))
    return [
        Row(
            name,
            batch,
            values,
            [a / b for a, b in zip(values, rates["memcpy"], strict=True)] if "memcpy" in rates else [],
            [a / b for a, b in zip(values, rates[best], strict=True)],
        )
        for name, values in rates.items()
    ]


def warm(folder: Path, events: int, repeats: int) -> list[Row]:
    """All ways on one file in the page cache."""
    path, packed = folder / "events.h5", folder / "packed.h5"
    write_file(path, events)
    with h5py.File(path) as plain, h5py.File(packed, "w") as file:
        for name in plain:
            options = {"chunks": (16, *plain[name].shape[1:]), "compression": "lzf"} if name == "event_data" else {}
            file.create_dataset(name, data=plain[name][()], **options)
    dataset = open_dataset(DataSettings(path), stratify=True)
    compressed = open_dataset(DataSettings(packed), stratify=True)
    sparse = replace(compressed, file=ingest(compressed.file, folder / "cache"))
    ways = {f"reference, {n} workers": reference(path, n) for n in WORKERS}
    ways |= {"h5py, whole batches": whole_batches(path), "memcpy": memcpy(dataset)}
    ways |= {f"ours, {name}": ours(dataset, name) for name in ("memory", "map", "stream")}
    ways["ours, sparse in memory"] = ours(sparse, "memory")
    return [row for batch in (64, 256) for row in table(measured(ways, events, batch, repeats, 0), batch)]


def cold_rate(path: Path, way: str, events: int, batch: int, limit_mb: int) -> tuple[float, str]:
    """Events per second of a new process that reads some events of a file whose pages were dropped; and how it read."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    run = subprocess.run(
        [sys.executable, "-P", __file__, "--child", way, str(path), str(events), str(batch)],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit_mb * 2**20, limit_mb * 2**20)),
    )
    rate, kind = run.stdout.split()
    return float(rate), kind


def child(way: str, path: Path, events: int, batch: int) -> None:
    """One cold measurement; prints events per second and the kind of source."""
    order, kind = np.random.default_rng(time.time_ns()).permutation(EventFile.open(path).count)[:events], "-"
    if way == "ours":
        dataset = open_dataset(DataSettings(path), stratify=True)
        kind = type(load_source(dataset, np.arange(dataset.count))).__name__
        read = ours(dataset, "auto")
    elif way == "plain memmap":
        mapped = EventFile.open(path).events()

        def read(order: Any, batch: int) -> int:
            return sum(len(np.stack([mapped[row] for row in rows])) for rows in _parts(order, batch))
    else:
        read = reference(path, int(way.split()[1]))
    began = time.perf_counter()
    seen = read(order, batch)
    print(seen / (time.perf_counter() - began), kind)


def _parts(order: Any, batch: int) -> Iterator[Any]:
    for start in range(0, len(order), batch):
        yield order[start : start + batch]


def cold(folder: Path, events: int, repeats: int, limit_mb: int) -> list[Row]:
    """A file larger than memory, read with nothing in the page cache."""
    path = folder / "large.h5"
    write_file(path, events)
    os.sync()
    size_mb = path.stat().st_size / 2**20
    print(f"cold: a file of {size_mb:.0f} MB, memory limited to {limit_mb} MB", file=sys.stderr)
    rates: dict[str, list[float]] = {}
    for _ in range(repeats):
        for way in ("plain memmap", "reference, 0 workers", "reference, 2 workers", "ours"):
            rate, kind = cold_rate(path, way, min(events, 1500), 256, limit_mb)
            rates.setdefault("ours" if way == "ours" else way, []).append(rate)
            if way == "ours" and kind != "StreamSource":
                sys.exit(f"ours read by {kind}; make the file larger or the limit smaller")
    plain = rates["plain memmap"]
    return [
        Row(name, 256, values, [], [a / b for a, b in zip(values, plain, strict=True)])
        for name, values in rates.items()
    ]


def show(rows: list[Row], against: str) -> None:
    """Print a table."""
    print(f"{'way':26}{'batch':>6}{'events/s (lowest-highest)':>34}{'of memcpy':>12}   times {against}")
    for row in rows:
        spread = f"{median(row.rates):,.0f} ({min(row.rates):,.0f}-{max(row.rates):,.0f})"
        share = f"{median(row.to_memcpy):.2f}" if row.to_memcpy else ""
        ratio = f"{median(row.to_reference):.2f} ({min(row.to_reference):.2f}-{max(row.to_reference):.2f})"
        print(f"{row.way:26}{row.batch:6}{spread:>34}{share:>12}   {ratio}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=6000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--cold-events", type=int, default=24000)
    parser.add_argument("--limit-mb", type=int, default=1024)
    parser.add_argument("--scratch", type=Path, default=None, help="a folder on the disk to be measured")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.child:
        way, path, events, batch = given.child
        child(way, Path(path), int(events), int(batch))
        return
    with tempfile.TemporaryDirectory(dir=given.scratch) as folder:
        if given.cold:
            rows, against = cold(Path(folder), given.cold_events, given.repeats, given.limit_mb), "the plain memmap"
        else:
            rows, against = warm(Path(folder), given.events, given.repeats), "the reference at its best"
    show(rows, against)
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
