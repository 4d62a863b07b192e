"""The events of one part of the split, all on one device."""

import math

import numpy as np
import torch
from torch import Tensor

from objectives._float16 import check_float16, with_float16
from objectives._source import EventSource
from objectives._tensor import image_shape, to_tensor

_BLOCK = 2**26  # bytes of float32 that are read and sent at a time


class Resident:
    """Events 0 … N - 1 as tensors on one device, from which batches are gathered there.

    The tensors are never written to after they are made, so processes may share them. Nothing else is kept: made again
    from the same tensors, in another process, it gives the same bits.

    Attributes:
        tensors: one or two of (N, H, W, C_i): the first channels in float16, if any are, and the others in float32.
    """

    def __init__(self, tensors: tuple[Tensor, ...]) -> None:
        if not tensors or len({tensor.shape[:3] for tensor in tensors}) != 1 or tensors[0].ndim != 4:
            raise ValueError(
                f"the tensors are of {[tuple(tensor.shape) for tensor in tensors]}; each must be (N, H, W, C_i) with "
                "the same N, H and W"
            )
        self.tensors = tensors

    @classmethod
    def upload(
        cls, source: EventSource, axes: str, device: torch.device | str, float16_channels: int = 0
    ) -> "Resident":
        """Copy all events to the device, in blocks of at most 64 MiB.

        Args:
            source: the events, of any type; integers are scaled as `to_tensor` scales them.
            axes: the order of their axes: "NHWC", "NCHW" or "NHW".
            device: where to.
            float16_channels: so many first channels are kept in float16.

        Raises:
            ValueError: the events have fewer channels than that, or `axes` is none of these.
            DataError: a value of a float16 channel is too large for it.
            torch.OutOfMemoryError: they do not fit; nothing is kept then.
        """
        channels = _channels(source, axes, float16_channels)
        height, width, _ = image_shape(source.shape, axes)
        tensors = tuple(
            torch.empty((len(source), height, width, count), dtype=dtype, device=device) for count, dtype in channels
        )
        source = with_float16(source, axes, float16_channels)
        size = max(1, _BLOCK // (4 * math.prod(source.shape)))
        for start in range(0, len(source), size):
            positions = np.arange(start, min(start + size, len(source)))
            block = np.empty((len(positions), *source.shape), source.dtype)
            source.rows(positions, block)
            images = to_tensor(block, axes).permute(0, 2, 3, 1)
            parts = torch.split(images, [count for count, _ in channels], dim=3)
            for tensor, part in zip(tensors, parts, strict=True):
                tensor[start : start + len(positions)] = part
        return cls(tensors)

    @property
    def device(self) -> torch.device:
        """Where the events are."""
        return self.tensors[0].device

    def __len__(self) -> int:
        return len(self.tensors[0])

    def gather(self, positions: Tensor) -> Tensor:
        """Return the events at `positions` as float32 (B, C, H, W) in channels_last, a new tensor.

        It waits for nothing and needs no memory of the host, so a CUDA graph may hold it.

        Args:
            positions: int64 (B,) on the same device, each from 0 to N - 1.
        """
        parts = [tensor.index_select(0, positions).float() for tensor in self.tensors]
        images = parts[0] if len(parts) == 1 else torch.cat(parts, dim=3)
        return images.permute(0, 3, 1, 2)


def resident_bytes(source: EventSource, axes: str, float16_channels: int = 0) -> int:
    """Return how many bytes of a device's memory `Resident.upload` would take, with the same arguments.

    Raises:
        ValueError: the events have fewer channels than that, or `axes` is none of these.
    """
    height, width, _ = image_shape(source.shape, axes)
    each = sum(count * dtype.itemsize for count, dtype in _channels(source, axes, float16_channels))
    return len(source) * height * width * each


def _channels(source: EventSource, axes: str, float16_channels: int) -> list[tuple[int, torch.dtype]]:
    """How many channels each tensor has, and its type; no tensor is without channels."""
    channels = check_float16(source.shape, axes, float16_channels)
    both = [(float16_channels, torch.float16), (channels - float16_channels, torch.float32)]
    return [each for each in both if each[0]]
