"""Events kept as the positions and values of what is not zero."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_ALIGNED = 8  # bytes; every event's record begins at a multiple

_Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SparseForm:
    """How one event becomes a record of bytes, and back, bit for bit.

    A record holds the k values whose bits are not all zero (so -0.0 is kept), then their k positions in the flattened
    event, rising, as uint16 where the event has at most 65,536 values, else uint32; then zeros up to 8 bytes.

    Attributes:
        shape: of one event.
        dtype: of its values, native.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Values of an event."""
        return int(np.prod(self.shape, dtype=object))

    @property
    def position_dtype(self) -> np.dtype[Any]:
        """The type of positions."""
        return np.dtype(np.uint16 if self.size <= 2**16 else np.uint32)

    def lengths(self, counts: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
        """Bytes of the records of events with so many values each."""
        used = counts.astype(np.int64) * (self.dtype.itemsize + self.position_dtype.itemsize)
        return -(-used // _ALIGNED) * _ALIGNED

    def encode(self, events: _Array) -> tuple[bytes, npt.NDArray[np.uint32]]:
        """The records of a block of events (n, *shape), one after another, and how many values each holds."""
        flat = np.ascontiguousarray(events).reshape(len(events), self.size)
        bits = flat.view(np.dtype(f"u{self.dtype.itemsize}"))
        counts = np.count_nonzero(bits, axis=1).astype(np.uint32)
        records = np.zeros(int(self.lengths(counts).sum()), np.uint8)
        start = 0
        for row, length in zip(range(len(flat)), self.lengths(counts).tolist(), strict=True):
            positions = np.flatnonzero(bits[row])
            values, places = self.views(records, start, len(positions))
            values[...] = flat[row, positions]
            places[...] = positions
            start += length
        return records.tobytes(), counts

    def views(self, records: Any, start: int, count: int) -> tuple[_Array, _Array]:
        """The values and positions of the record at a byte, without a copy."""
        values = np.frombuffer(records, self.dtype, count, start)
        return values, np.frombuffer(records, self.position_dtype, count, start + count * self.dtype.itemsize)


class SparseEvents:
    """Events (n, *shape) that are kept sparse, in memory, in a map or in a file, and come out dense.

    It is read like an array: by an index, a slice, or an array of indices, or into an array by `gather`. Several
    threads may read at once.
    """

    def __init__(
        self,
        form: SparseForm,
        counts: npt.NDArray[np.uint32],
        *,
        records: _Array | None = None,
        descriptor: int | None = None,
    ) -> None:
        """Give either the records or an open file of them.

        Args:
            form: of each event.
            counts: (n,), the values of each.
            records: bytes, as `SparseForm.encode` makes them.
            descriptor: of a file of such bytes; the caller keeps it open.
        """
        self._form, self._counts = form, counts
        self._records, self._descriptor = records, descriptor
        self._starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(form.lengths(counts))])
        self.shape: tuple[int, ...] = (len(counts), *form.shape)
        self.dtype = form.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def nbytes_of(self, indices: npt.NDArray[np.int64]) -> int:
        """Bytes of the records of these events."""
        return int(self._form.lengths(self._counts[indices]).sum())

    def gather(self, indices: npt.NDArray[np.int64], out: _Array) -> None:
        """Write the events at `indices` (b,), which must be in range, into `out` (b, *shape)."""
        if out.dtype != self.dtype or not out.flags.c_contiguous:
            dense = np.empty(out.shape, self.dtype)
            self.gather(indices, dense)
            out[...] = dense
            return
        rows = out.reshape(len(out), self._form.size)
        starts, counts = self._starts[indices].tolist(), self._counts[indices].tolist()
        if self._records is None:
            self._advise(starts, self._form.lengths(self._counts[indices]).tolist())
        for row, start, count in zip(rows, starts, counts, strict=True):
            values, positions = self._record(start, count)
            row.fill(0)  # right before its values, while it is in the processor's cache
            row[positions.astype(np.intp)] = values

    def _record(self, start: int, count: int) -> tuple[_Array, _Array]:
        if self._records is not None:
            return self._form.views(self._records, start, count)
        size = count * (self.dtype.itemsize + self._form.position_dtype.itemsize)
        content = os.pread(self._descriptor or 0, size, start)
        return self._form.views(content, 0, count)

    def _advise(self, starts: Sequence[int], lengths: Sequence[int]) -> None:
        if hasattr(os, "posix_fadvise"):
            for start, length in zip(starts, lengths, strict=True):
                os.posix_fadvise(self._descriptor or 0, start, length, os.POSIX_FADV_WILLNEED)

    def __getitem__(self, which: Any) -> _Array:
        indices = np.arange(len(self))[which]
        out = np.empty((indices.size, *self._form.shape), self.dtype)
        self.gather(np.atleast_1d(indices).astype(np.int64), out)
        return out if np.ndim(indices) else out[0]

    def loaded(self, indices: npt.NDArray[np.int64]) -> "SparseEvents":
        """The events at `indices`, in that order, in private memory."""
        lengths = self._form.lengths(self._counts[indices])
        records = np.empty(int(lengths.sum()), np.uint8)
        stops = np.cumsum(lengths)
        # In the order of the file, for sequential reads.
        for at in np.argsort(indices, kind="stable").tolist():
            start, length, stop = int(self._starts[indices[at]]), int(lengths[at]), int(stops[at])
            self._read(start, records[stop - length : stop])
        records.flags.writeable = False
        return SparseEvents(self._form, self._counts[indices], records=records)

    def _read(self, start: int, out: _Array) -> None:
        if self._records is not None:
            out[...] = self._records[start : start + len(out)]
        elif os.preadv(self._descriptor or 0, [out.data], start) != len(out):
            raise OSError("the file of converted events ends early")
