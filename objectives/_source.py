"""Where batches come from: events in memory, in a mapped file, or in a file only HDF5 can read."""

import logging
import os
import weakref
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from objectives._blocks import advise, file_blocks, gather, memory_dtype
from objectives._dataset import Cache, Dataset, check_cache
from objectives._finite import NonFinite
from objectives._memory import available_memory
from storage.hdf5 import EventFile

_SHARE = 0.6  # of the available memory that one source may fill

_logger = logging.getLogger(__name__)
_Indices = npt.NDArray[np.int64]


class EventSource(Protocol):
    """Events at positions 0, 1, ..., read in any order.

    Several threads may call `rows` at once, and a process forked after making a source may use its copy.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """One event's shape in the file's axes, such as (H, W, C)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the events that `rows` gives."""
        ...

    def __len__(self) -> int:
        """The number of events."""
        ...

    def rows(self, positions: _Indices, out: npt.NDArray[Any]) -> None:
        """Copy the events at `positions` (b,) into `out` (b, *shape) of type `dtype`.

        Raises:
            IndexError: a position is below 0 or not below the number of events; nothing is copied.
            ValueError: `out` has another shape or type.
        """


class MemorySource:
    """Events in an array of this process: copied at the speed of memory."""

    def __init__(self, events: npt.NDArray[Any]) -> None:
        self._events = events
        self.shape: tuple[int, ...] = events.shape[1:]
        self.dtype: np.dtype[Any] = events.dtype

    def __len__(self) -> int:
        return len(self._events)

    def rows(self, positions: _Indices, out: npt.NDArray[Any]) -> None:
        """See `EventSource.rows`."""
        _check(self, positions, out)
        gather(self._events, positions, out)


class FileSource:
    """Events read from the file at each request: through a memory map, or by HDF5 where that cannot be.

    A map shares the page cache with all processes. HDF5 opens the file in the process that reads first.
    """

    def __init__(self, file: EventFile, indices: _Indices) -> None:
        self._file = file
        self._indices = indices
        self._opened: tuple[int, Any] | None = None  # process id, events
        self.shape: tuple[int, ...] = file.stored.shape[1:]
        self.dtype: np.dtype[Any] = file.dtype
        self._descriptor = os.open(file.path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def __len__(self) -> int:
        return len(self._indices)

    def rows(self, positions: _Indices, out: npt.NDArray[Any]) -> None:
        """See `EventSource.rows`."""
        _check(self, positions, out)
        indices = self._indices[positions]
        advise(self._descriptor, self._file, indices)
        gather(self._events(), indices, out)

    def _events(self) -> Any:
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), self._file.events()
        return self._opened[1]


def _check(source: EventSource, positions: _Indices, out: npt.NDArray[Any]) -> None:
    if out.shape != (len(positions), *source.shape) or out.dtype != source.dtype:
        raise ValueError(
            f"out: {out.dtype} {out.shape}; needed is {source.dtype} {(len(positions), *source.shape)} for "
            f"{len(positions)} events"
        )
    if not len(positions):
        return
    low, high = int(positions.min()), int(positions.max())
    if low < 0 or high >= len(source):
        raise IndexError(
            f"positions: {low if low < 0 else high} is out of range for {len(source)} events; "
            f"give 0 to {len(source) - 1}"
        )


def load_source(dataset: Dataset, indices: _Indices, cache: Cache = "auto") -> EventSource:
    """Make the events at `indices` readable at positions 0 to len(indices) - 1.

    It starts no thread, calls nothing of torch and leaves no HDF5 handle open, so a process may fork afterwards
    and share the memory.

    Args:
        dataset: what `open_dataset` gives.
        indices: of events in the file, in any order; a part of the split, usually.
        cache: "memory" copies the events into private memory, "map" reads the file on demand, "auto" copies if
            they take at most 60 % of the memory available.

    Raises:
        DataError: while copying, an event was found that is not finite. With "map" nothing is checked.
        IndexError: an index is not in the file.
    """
    check_cache(cache)
    file, indices = dataset.file, np.asarray(indices, np.int64)
    if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < file.count:
        raise IndexError(f"indices: {indices.min()} to {indices.max()}; the file has events 0 to {file.count - 1}")
    shape, dtype = (len(indices), *file.stored.shape[1:]), memory_dtype(file.dtype)
    needed, free = int(np.prod(shape, dtype=object)) * dtype.itemsize, available_memory()
    if cache == "memory" or (cache == "auto" and needed <= _SHARE * free):
        return MemorySource(_loaded(file, indices, np.empty(shape, dtype)))
    if cache == "auto":
        _logger.warning(
            "%s: %.1f GB of events do not fit in 60 %% of the %.1f GB of free memory; reading from the file, "
            "which is slower",
            file.path,
            needed / 1e9,
            free / 1e9,
        )
    return FileSource(file, indices)


def _loaded(file: EventFile, indices: _Indices, memory: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Fill `memory` with the events at `indices`, reading in the order of the file."""
    events, tally = file.events(), NonFinite()
    order = np.argsort(indices, kind="stable")
    ordered = indices[order]
    in_order = bool(np.all(order[1:] > order[:-1]))
    for block in file_blocks(file, ordered):
        rows = ordered[block]
        values = memory[block] if in_order else np.empty((len(rows), *memory.shape[1:]), memory.dtype)
        gather(events, rows, values)
        tally.add(rows, values)
        if not in_order:
            memory[order[block]] = values
    tally.refuse(file)
    memory.flags.writeable = False
    return memory
