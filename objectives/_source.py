"""Where batches come from: events in memory, in a mapped or streamed file, or in a file only HDF5 can read."""

import logging
import os
import weakref
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from objectives._blocks import advise, event_bytes, file_blocks, gather, memory_dtype
from objectives._dataset import Cache, Dataset, check_cache
from objectives._finite import NonFinite, check_finite
from objectives._memory import available_memory
from storage.errors import DataError
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
    """Events in memory of this process, in an array or sparse: copied, or expanded, at the speed of memory."""

    def __init__(self, events: Any) -> None:
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
        # A map outlives forks, and what it maps outlives the removal of a cache.
        self._mapped = None if file.needs_conversion else file.events()
        if file.place is not None:
            self._descriptor = os.open(file.place[0], os.O_RDONLY)
            weakref.finalize(self, os.close, self._descriptor)

    def __len__(self) -> int:
        return len(self._indices)

    def rows(self, positions: _Indices, out: npt.NDArray[Any]) -> None:
        """See `EventSource.rows`."""
        _check(self, positions, out)
        indices = self._indices[positions]
        if self._file.place is not None:
            advise(self._descriptor, self._file.place[1], event_bytes(self._file), indices)
        gather(self._events(), indices, out)

    def _events(self) -> Any:
        if self._mapped is not None:
            return self._mapped
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), self._file.events()
        return self._opened[1]


class StreamSource:
    """Events of a file larger than memory: all reads of a request are asked for at once, then made one by one.

    Nothing is mapped. A map would fetch a few pages at each fault and wait for them; here the disk always has a
    whole batch to read. Meant for events that lie one after another in a file, or sparse ones.
    """

    def __init__(self, file: EventFile, indices: _Indices) -> None:
        self._indices = indices
        self._size = event_bytes(file)
        self.shape: tuple[int, ...] = file.stored.shape[1:]
        self.dtype: np.dtype[Any] = file.dtype
        self._place = file.place
        self._sparse = None if file.packed is None or not file.packed.sparse else file.packed.streamed()
        if self._place is None and self._sparse is None:
            raise ValueError(f"{file.path}: its events do not lie one after another, so they cannot be streamed")
        if self._place is not None:
            self._descriptor = os.open(self._place[0], os.O_RDONLY)
            weakref.finalize(self, os.close, self._descriptor)

    def __len__(self) -> int:
        return len(self._indices)

    def rows(self, positions: _Indices, out: npt.NDArray[Any]) -> None:
        """See `EventSource.rows`."""
        _check(self, positions, out)
        indices = self._indices[positions]
        if self._sparse is not None:
            self._sparse.gather(indices, out)
        elif self._place is not None:
            advise(self._descriptor, self._place[1], self._size, indices)
            for row, index in zip(out, indices.tolist(), strict=True):
                self._read(row, self._place[1] + index * self._size)

    def _read(self, row: npt.NDArray[Any], start: int) -> None:
        if os.preadv(self._descriptor, [row.data], start) != self._size:
            path = self._place[0] if self._place is not None else ""
            raise DataError(f"{path}: ends before byte {start + self._size}; it has been changed since it was opened")


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
        cache: "memory" copies the events into private memory, "map" reads the file on demand through the page cache,
            "stream" asks for a batch's reads at once and then makes them, "auto" copies if the events take at most
            60 % of the memory available, else streams. What HDF5 must read is mapped or streamed only once converted
            (`storage.ingest`); till then it is read by HDF5.

    Raises:
        DataError: while copying, an event was found that is not finite. Otherwise nothing is checked.
        IndexError: an index is not in the file.
    """
    check_cache(cache)
    file, indices = dataset.file, np.asarray(indices, np.int64)
    if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < file.count:
        raise IndexError(f"indices: {indices.min()} to {indices.max()}; the file has events 0 to {file.count - 1}")
    if cache == "memory" or (cache == "auto" and _fits(file, indices)):
        return MemorySource(_in_memory(file, indices))
    if cache == "map" or file.needs_conversion:
        return FileSource(file, indices)
    return StreamSource(file, indices)


def memory_needed(file: EventFile, indices: _Indices) -> int:
    """Bytes that the events at `indices` take in memory."""
    if file.packed is not None and file.packed.sparse:
        return file.packed.streamed().nbytes_of(indices)
    shape = (len(indices), *file.stored.shape[1:])
    return int(np.prod(shape, dtype=object)) * memory_dtype(file.dtype).itemsize


def fits_in_memory(file: EventFile, indices: _Indices) -> bool:
    """Whether the events at `indices` take at most 60 % of the memory that is available."""
    return memory_needed(file, indices) <= _SHARE * available_memory()


def _fits(file: EventFile, indices: _Indices) -> bool:
    needed, free = memory_needed(file, indices), available_memory()
    if needed <= _SHARE * free:
        return True
    _logger.warning(
        "%s: %.1f GB of events do not fit in 60 %% of the %.1f GB of free memory; reading from the file, "
        "which is slower",
        file.path,
        needed / 1e9,
        free / 1e9,
    )
    return False


def _in_memory(file: EventFile, indices: _Indices) -> Any:
    if file.packed is not None and file.packed.sparse:
        check_finite(file, np.sort(indices))
        return file.packed.streamed().loaded(indices)
    return _loaded(file, indices, np.empty((len(indices), *file.stored.shape[1:]), memory_dtype(file.dtype)))


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
