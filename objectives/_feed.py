"""Where a network's inputs come from: gathered on its device, or sent there from the host."""

from collections.abc import Generator
from contextlib import closing
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from objectives._data import EventSource, batch_bounds, batches, to_tensor
from objectives._float16 import Float32Source
from objectives._link import CudaLink, Link
from objectives._prefetch import prefetched
from objectives._resident import Resident
from objectives._tensor import channels_first

_PINNED = 3  # buffers on the host: one is filled while another is sent and the third waits


class Feed(Protocol):
    """Gives the inputs of one batch after another. One thread uses it, for one pass at a time."""

    def batches(self, positions: NDArray[np.int64], batch_size: int) -> Generator[None]:
        """Make one batch after another the current one: the events at `positions` (n,), in that order."""
        ...

    def current(self, positions: Tensor) -> Tensor:
        """Return the current batch's inputs, float32 (B, C, H, W) on the device, to be overwritten at will.

        What it does may be captured in a CUDA graph, except by a feed of the host for a CPU.

        Args:
            positions: int64 (B,) on the device, those that the batch was made of.
        """
        ...


class ResidentFeed:
    """Events that lie on the device: nothing is done by the host."""

    def __init__(self, resident: Resident) -> None:
        self._resident = resident

    def batches(self, positions: NDArray[np.int64], batch_size: int) -> Generator[None]:
        """See `Feed.batches`."""
        for _ in batch_bounds(len(positions), batch_size):
            yield

    def current(self, positions: Tensor) -> Tensor:
        """See `Feed.current`."""
        return self._resident.gather(positions)


class HostFeed:
    """Events gathered ahead by a thread, into memory that a CPU computes in."""

    def __init__(self, source: EventSource, axes: str) -> None:
        self._source, self._axes = source, axes
        self._batch = torch.empty(0)

    def batches(self, positions: NDArray[np.int64], batch_size: int) -> Generator[None]:
        """See `Feed.batches`."""
        with closing(batches(self._source, positions, batch_size)) as stream:
            for batch in stream:
                self._batch = to_tensor(batch, self._axes)
                yield

    def current(self, positions: Tensor) -> Tensor:
        """See `Feed.current`."""
        return self._batch


class PinnedFeed:
    """Events gathered ahead by a thread into pinned memory and sent to the device while that computes.

    Inputs keep their place on the device. While one batch is trained, the next crosses over to a second place, and the
    thread gathers those after it.
    """

    def __init__(self, source: EventSource, axes: str, batch_size: int, link: Link) -> None:
        self._source = source if source.dtype == np.float32 else Float32Source(source, axes)
        self._axes, self._link = axes, link
        shape = (batch_size, *source.shape)
        self._pinned = [link.host_buffer(shape) for _ in range(_PINNED)]
        self._arriving, self._inputs = link.device_buffer(shape), link.device_buffer(shape)

    def batches(self, positions: NDArray[np.int64], batch_size: int) -> Generator[None]:
        """See `Feed.batches`; `batch_size` is at most the one it was made for."""
        bounds = batch_bounds(len(positions), batch_size)
        arrays: list[NDArray[Any]] = [buffer.numpy() for buffer in self._pinned]
        with closing(prefetched(self._source, positions, bounds, arrays, self._link.wait_sent)) as stream:
            for (start, stop), index in zip(bounds, stream, strict=True):
                count = stop - start
                self._link.send(index, self._pinned[index][:count], self._arriving[:count])
                self._link.take(self._arriving[:count], self._inputs[:count])
                yield

    def current(self, positions: Tensor) -> Tensor:
        """See `Feed.current`; a copy, so that a step that is done again finds the same inputs."""
        return channels_first(self._inputs[: len(positions)].clone(), self._axes)


def open_feed(source: EventSource, axes: str, resident: Resident | None, device: torch.device, batch_size: int) -> Feed:
    """Return the quickest feed of these events for a device: from there if they are there, else from the host."""
    if resident is not None and resident.device == device:
        return ResidentFeed(resident)
    if device.type == "cpu":
        return HostFeed(source, axes)
    return PinnedFeed(source, axes, batch_size, CudaLink(device))
