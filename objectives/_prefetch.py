"""Batches gathered ahead of use by one thread, into buffers that are used again and again."""

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from objectives._source import EventSource

_Array = npt.NDArray[Any]
_Bounds = list[tuple[int, int]]


def batch_bounds(count: int, batch_size: int, *, drop_singleton: bool = False) -> _Bounds:
    """Where the batches of one pass begin and end; the last may be smaller.

    Args:
        count: events in the pass.
        batch_size: events in a batch, at least 1.
        drop_singleton: leave out a last batch of one event beside larger ones. Batch normalisation cannot train
            on one value per channel; each epoch's permutation leaves out another event.

    Returns:
        (start, stop) of each batch, in order; its length is the number of steps.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size: {batch_size}; give at least 1")
    bounds = [(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]
    if drop_singleton and len(bounds) > 1 and batch_size > 1 and bounds[-1][1] - bounds[-1][0] == 1:
        bounds.pop()
    return bounds


def batches(
    source: EventSource,
    positions: npt.NDArray[np.int64],
    batch_size: int,
    *,
    buffers: int = 3,
    drop_singleton: bool = False,
) -> Generator[_Array]:
    """Give the events at `positions`, in that order, in batches.

    One thread gathers ahead into `buffers` arrays. It starts when the first batch is asked for and ends when
    the iterator is exhausted, closed, collected or fails. No random generator is touched. A batch may be
    overwritten by its reader; it is valid until the next one is asked for.

    Args:
        source: the events.
        positions: (n,) in the source; copied.
        batch_size: events in a batch, at least 1.
        buffers: arrays of one batch each, at least 1; with 1, nothing is gathered ahead.
        drop_singleton: as in `batch_bounds`.

    Yields:
        (b, *source.shape) of the source's type, a view of one of the buffers.

    Raises:
        ValueError: batch_size or buffers is below 1.
        Exception: what `source.rows` raised, when the batch it failed for is asked for.
    """
    bounds = batch_bounds(len(positions), batch_size, drop_singleton=drop_singleton)
    if buffers < 1:
        raise ValueError(f"buffers: {buffers}; give at least 1")
    return _views(source, np.array(positions), bounds, buffers)


def _views(source: EventSource, positions: npt.NDArray[np.int64], bounds: _Bounds, buffers: int) -> Generator[_Array]:
    largest = max((stop - start for start, stop in bounds), default=0)
    arrays = [np.empty((largest, *source.shape), source.dtype) for _ in range(min(buffers, len(bounds)))]
    with closing(prefetched(source, positions, bounds, arrays)) as stream:
        for (start, stop), index in zip(bounds, stream, strict=True):
            yield arrays[index][: stop - start]


def prefetched(
    source: EventSource,
    positions: npt.NDArray[np.int64],
    bounds: _Bounds,
    buffers: Sequence[_Array],
    before_filling: Callable[[int], None] = lambda index: None,
) -> Generator[int]:
    """Gather batches ahead into given buffers, as `batches` does, and say which buffer holds the next one.

    Args:
        source: the events.
        positions: (n,) in the source; must not change meanwhile.
        bounds: where the batches begin and end in them.
        buffers: arrays of (b, *source.shape) and the source's type, as long as the longest batch.
        before_filling: called by the thread, with a buffer's index, before it is written; it may wait.

    Yields:
        The index of the buffer that holds the batch, in its first rows, until the next one is asked for.

    Raises:
        Exception: what `source.rows` or `before_filling` raised, when the batch it failed for is asked for.
    """
    free: SimpleQueue[int | None] = SimpleQueue()
    filled: SimpleQueue[int | BaseException] = SimpleQueue()
    for index in range(len(buffers)):
        free.put(index)
    stopped = threading.Event()

    def fill() -> None:
        try:
            for start, stop in bounds:
                index = free.get()
                if index is None or stopped.is_set():
                    return
                before_filling(index)
                source.rows(positions[start:stop], buffers[index][: stop - start])
                filled.put(index)
        except BaseException as error:
            filled.put(error)

    # A daemon, so that an iterator left open cannot keep the interpreter from ending.
    thread = threading.Thread(target=fill, name="prefetch", daemon=True)
    thread.start()
    try:
        for _ in bounds:
            found = filled.get()
            if isinstance(found, BaseException):
                raise found
            yield found
            free.put(found)
    finally:
        stopped.set()
        free.put(None)  # wakes a thread that waits for a buffer
        thread.join()
