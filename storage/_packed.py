"""A folder that holds all events of one dataset, dense or sparse, in a form that is read at the speed of memory.

entry.json   what it holds, and of which file
events.bin   dense: all values, native, in the file's axes; sparse: a record per event
counts.npy   sparse: how many values each event's record holds
"""

import json
import os
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from storage._sparse import SparseEvents, SparseForm

FORMAT = 1
"""Raised when what is written changes; entries of another format are made anew."""
ENTRY, EVENTS, COUNTS = "entry.json", "events.bin", "counts.npy"


@dataclass(frozen=True)
class Packed:
    """Events in such a folder. It holds no open handle, and may be pickled or forked.

    Attributes:
        folder: of the three files.
        shape: (N, ...) in the axes of the source.
        dtype: native.
        sparse: whether only what is not zero is kept.
    """

    folder: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    sparse: bool

    @property
    def path(self) -> Path:
        """The file of the events."""
        return self.folder / EVENTS

    @property
    def form(self) -> SparseForm:
        """How an event becomes a record."""
        return SparseForm(self.shape[1:], self.dtype)

    def events(self) -> Any:
        """All events: a read-only map, or `SparseEvents` over one."""
        if not self.sparse:
            return np.memmap(self.path, self.dtype, mode="r", shape=self.shape)
        records = np.memmap(self.path, np.uint8, mode="r") if self.path.stat().st_size else np.empty(0, np.uint8)
        return SparseEvents(self.form, self._counts(), records=records)

    def streamed(self) -> SparseEvents:
        """Sparse events that are read from the file one by one, without a map."""
        descriptor = os.open(self.path, os.O_RDONLY)
        events = SparseEvents(self.form, self._counts(), descriptor=descriptor)
        weakref.finalize(events, os.close, descriptor)
        return events

    def _counts(self) -> npt.NDArray[np.uint32]:
        counts: npt.NDArray[np.uint32] = np.load(self.folder / COUNTS)
        return counts


def open_packed(folder: Path) -> Packed | None:
    """What the folder holds; None if that is nothing, incomplete or of another format."""
    try:
        told = json.loads((folder / ENTRY).read_text(encoding="utf-8"))
        if told["format"] != FORMAT:
            return None
        packed = Packed(folder, tuple(told["shape"]), np.dtype(told["dtype"]), told["sparse"])
        complete = packed.path.stat().st_size == told["bytes"] and (not packed.sparse or (folder / COUNTS).is_file())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return packed if complete else None


def write_packed(
    folder: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    *,
    sparse: bool,
    blocks: Iterator[npt.NDArray[Any]],
    about: Mapping[str, Any],
) -> None:
    """Write events into a new folder; it must not be used before this has returned.

    Args:
        folder: It exists and is empty.
        shape: (N, ...) of all blocks together.
        dtype: Native.
        sparse: Keep only what is not zero.
        blocks: (n, ...) each, in order.
        about: Further facts for `entry.json`.
    """
    form, counts = SparseForm(shape[1:], dtype), []
    with (folder / EVENTS).open("xb") as file:
        for block in blocks:
            if sparse:
                content, counted = form.encode(block)
                counts.append(counted)
                file.write(content)
            else:
                file.write(np.ascontiguousarray(block, dtype).data)
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    if sparse:
        np.save(folder / COUNTS, np.concatenate(counts))
    told = {"format": FORMAT, "shape": list(shape), "dtype": dtype.str, "sparse": sparse, "bytes": size, **about}
    (folder / ENTRY).write_text(json.dumps(told, indent=1), encoding="utf-8")
