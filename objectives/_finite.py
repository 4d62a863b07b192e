"""Finding NaN and infinite values among events before a network meets them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from objectives._blocks import file_blocks, gather, memory_dtype
from storage.errors import DataError
from storage.hdf5 import EventFile


@dataclass
class NonFinite:
    """A tally of events with values that are not finite as float32.

    `events` counts them, `first` is the first one's index in the file, `nan` and `infinite` count values.
    """

    events: int = 0
    first: int | None = None
    nan: int = 0
    infinite: int = 0

    def add(self, indices: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> None:
        """Count a block: `values[i]` is the event of index `indices[i]`."""
        if values.dtype.kind != "f" or not values.size:
            return
        with np.errstate(all="ignore"):
            # One sum is much cheaper than a mask, and not finite when a value is not; it may also overflow.
            if np.isfinite(np.sum(values, dtype=np.result_type(values.dtype, np.float32))):
                return
        bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if bad.any():
            self.events += int(bad.sum())
            first = int(indices[bad].min())
            self.first = first if self.first is None else min(first, self.first)
            self.nan += int(np.isnan(values[bad]).sum())
            self.infinite += int(np.isinf(values[bad]).sum())

    def refuse(self, file: EventFile) -> None:
        """Raise DataError if any event was counted."""
        if self.events:
            raise DataError(
                f"{file.path}: dataset {file.layout.events!r} has {self.nan} NaN and {self.infinite} infinite values "
                f"in {self.events} events, first in event {self.first}; every value must be finite as float32: repair "
                "the file, or leave those events out with `data.split.file`"
            )


def non_finite(file: EventFile, indices: npt.NDArray[np.int64] | None = None) -> NonFinite:
    """Read events once, in the file's order and in blocks, and count what is not finite.

    Args:
        file: the events.
        indices: which, sorted; all when None.
    """
    tally = NonFinite()
    if file.dtype.kind != "f":
        return tally
    indices = np.arange(file.count) if indices is None else indices
    events = file.events()
    scratch = np.empty((0, *file.stored.shape[1:]), memory_dtype(file.dtype))
    for block in file_blocks(file, indices):
        rows = indices[block]
        if len(scratch) < len(rows):
            scratch = np.empty((len(rows), *scratch.shape[1:]), scratch.dtype)
        gather(events, rows, scratch[: len(rows)])
        tally.add(rows, scratch[: len(rows)])
    return tally


def check_finite(file: EventFile, indices: npt.NDArray[np.int64] | None = None) -> None:
    """Raise DataError if any of the events at `indices` (all when None) holds NaN or an infinite value.

    The message tells how many do and names the first.
    """
    non_finite(file, indices).refuse(file)
