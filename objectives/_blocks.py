"""Reading many events in the order of the file, a block at a time."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.hdf5 import EventFile

_BLOCK = 2**25  # bytes: large enough for sequential reads, small beside any memory

_Indices = npt.NDArray[np.int64]


def memory_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type events have in memory: native byte order, and float32 for float64 as networks take no more."""
    native = dtype.newbyteorder("=")
    return np.dtype(np.float32) if native == np.float64 else native


def event_bytes(file: EventFile) -> int:
    """Bytes of one event, dense, in the file's type."""
    return file.stored.nbytes // file.count


def file_blocks(file: EventFile, indices: _Indices) -> Iterator[slice]:
    """Slices of the sorted `indices`, each of events that lie together in the file; whole chunks if it has any."""
    chunk = file.chunk_rows
    rows = max(1, _BLOCK // event_bytes(file))
    rows = -(-rows // chunk) * chunk
    edges = np.searchsorted(indices, np.arange(0, file.count + rows, rows))
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if start < stop:
            yield slice(start, stop)


def gather(events: Any, indices: _Indices, out: npt.NDArray[Any]) -> None:
    """Read the events at `indices` into `out`, converting to its type.

    Args:
        events: all events: an array, a memory map, an `h5py.Dataset`, or what has a method `gather`.
        indices: in range, in any order, repetitions allowed; sorted is fastest.
        out: (len(indices), *event shape).
    """
    if not len(indices):
        return
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found by the check for finite values
        if isinstance(events, np.ndarray) and events.dtype == out.dtype:
            # mode="raise" would buffer the whole output: three times slower.
            np.take(events, indices, axis=0, mode="clip", out=out)
        elif isinstance(events, np.ndarray):
            out[...] = events[indices]
        elif hasattr(events, "gather"):
            events.gather(indices, out)
        else:
            _gather_hdf5(events, indices, out)


def _gather_hdf5(events: Any, indices: _Indices, out: npt.NDArray[Any]) -> None:
    unique, inverse = np.unique(indices, return_inverse=True)
    start, stop = int(unique[0]), int(unique[-1]) + 1
    if stop - start <= 2 * len(unique):
        slab = events[start:stop]
        out[...] = slab[indices - start]
    else:
        out[...] = events[unique][inverse]


def advise(descriptor: int, offset: int, size: int, indices: _Indices) -> None:
    """Ask the kernel to begin reading the events of `size` bytes at these indices, all at once, ahead of use.

    On a cold disk, page faults alone would fetch a few pages at a time and wait for each.
    """
    if hasattr(os, "posix_fadvise"):
        for index in indices.tolist():
            os.posix_fadvise(descriptor, offset + index * size, size, os.POSIX_FADV_WILLNEED)
