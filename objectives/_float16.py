"""Events as float32, some of their channels no more precise than float16."""

from typing import Any

import numpy as np
import numpy.typing as npt

from objectives._source import EventSource
from objectives._tensor import as_float32, image_shape
from storage.errors import DataError


class Float32Source:
    """The events of another source as native float32, integers scaled as `to_tensor` scales them.

    Its first channels are rounded to float16's numbers, so that events that a GPU keeps in float16 have the bits of
    those that are sent to it. As an `EventSource` it may be used by several threads.
    """

    def __init__(self, source: EventSource, axes: str = "NHWC", float16_channels: int = 0) -> None:
        self._source = source
        first = slice(float16_channels)
        parts: dict[str, tuple[Any, ...]] = {"NHWC": (..., first), "NCHW": (slice(None), first), "NHW": (...,)}
        self._rounded = parts[axes] if float16_channels else None
        self.shape: tuple[int, ...] = source.shape
        self.dtype: np.dtype[Any] = np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self._source)

    def rows(self, positions: npt.NDArray[np.int64], out: npt.NDArray[Any]) -> None:
        """See `EventSource.rows`.

        Raises:
            DataError: a value is too large for float16.
        """
        if self._source.dtype == self.dtype:
            self._source.rows(positions, out)
        else:
            stored = np.empty((len(positions), *self.shape), self._source.dtype)
            self._source.rows(positions, stored)
            out[...] = as_float32(stored)
        if self._rounded is not None:
            round_to_float16(out[self._rounded])


def round_to_float16(values: npt.NDArray[np.float32]) -> None:
    """Round float32 numbers, in place, to the nearest ones of float16.

    Raises:
        DataError: one of them is too large, or infinite.
    """
    with np.errstate(over="ignore"):
        halves = values.astype(np.float16)
    if np.isinf(halves).any():
        raise DataError(
            f"the events hold {np.abs(values).max():g} in a channel that is kept in float16, whose largest number is "
            "65504; set data.float16_channels to 0"
        )
    values[...] = halves


def check_float16(shape: tuple[int, ...], axes: str, float16_channels: int) -> int:
    """Return how many channels events of this shape have.

    Raises:
        ValueError: they are fewer than shall be kept in float16, or `axes` is none that we know.
    """
    channels = image_shape(shape, axes)[2]
    if not 0 <= float16_channels <= channels:
        raise ValueError(
            f"float16_channels is {float16_channels}; the events have {channels} channels: give 0 to {channels}"
        )
    return channels


def with_float16(source: EventSource, axes: str, float16_channels: int) -> EventSource:
    """Return the events with so many first channels rounded to float16; with none, the source itself.

    Raises:
        ValueError: the events have fewer channels.
    """
    check_float16(source.shape, axes, float16_channels)
    return Float32Source(source, axes, float16_channels) if float16_channels else source
