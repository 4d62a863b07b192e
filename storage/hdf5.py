"""Labelled images in HDF5: where the events are, what they are, and the columns beside them.

The reference format has one row per event in each of

    event_data  float32 (N, 16, 40, 38)  16 × 40 modules of 19 photomultiplier tubes: channels 0–18 the charge
                                         in photo-electrons, 19–37 the time in ns
    labels      int64 (N,)               0 gamma, 1 electron, 2 muon
    energies    float32 (N, 1)           MeV
    positions   float32 (N, 1, 3)        cm
    angles      float32 (N, 2)           rad: theta, phi

Files of other names, axes and types are read by giving their `Layout`. A file of digitised hits (`storage/_hits.py`)
is read as the images that a map from tubes to pixels makes of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from storage._hdf5_datasets import Stored, class_names, find, shapes, stored
from storage._hdf5_open import open_readonly, opened
from storage._hdf5_write import write_events
from storage._hits import NAMES as HIT_NAMES
from storage._hits import HitImages, PixelMap, hits_stored, load_pixels
from storage._packed import Packed
from storage.errors import DataError

__all__ = ["AXES", "DTYPES", "EventFile", "Layout", "write_events"]

AXES = ("NHWC", "NCHW", "NHW")
DTYPES = ("float16", "float32", "float64", "uint8", "uint16", "int8", "int16", "int32")  # of either byte order

_SAMPLED = 64  # events whose bytes a fingerprint covers
_COLUMNS = ("target", "labels", "energies", "positions", "angles")


@dataclass(frozen=True)
class Layout:
    """Which datasets of a file hold what, and the order of the events' axes.

    `events`, `target`, `energies` (MeV), `positions` (cm), `angles` (rad) and `labels` are names of datasets
    ("group/name" for one in a group). `labels` holds the classes that a selection cuts on when the target
    itself is not a class. `axes` is one of `AXES`: N events, H rows, W columns, C channels. `pixels` is the map (.npz)
    of a file of digitised hits, which take the place of `events`, and `first_pmt` the number of its first tube.
    """

    events: str = "event_data"
    axes: str = "NHWC"
    target: str = "labels"
    energies: str = "energies"
    positions: str = "positions"
    angles: str = "angles"
    labels: str = "labels"
    pixels: Path | None = None
    first_pmt: int = 0

    def __post_init__(self) -> None:
        if self.axes not in AXES:
            raise ValueError(f"axes: {self.axes!r} is not one of {', '.join(AXES)}")
        for name in ("events", *_COLUMNS):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise ValueError(f"{name}: {value!r} is not the name of a dataset")
        if self.pixels is not None and self.axes != "NHWC":
            raise ValueError(f"axes: {self.axes!r}; images that are made of hits have NHWC: leave it out")

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the datasets of one row per event beside the events."""
        return tuple(dict.fromkeys(getattr(self, name) for name in _COLUMNS))


@dataclass(frozen=True)
class EventFile:
    """The facts of one HDF5 file of events. It holds no open handle, and may be pickled or forked.

    `count` is N, `shape` one event's (C, H, W), `dtype` the stored type in its stored byte order, `stored` how
    the events lie in the file, `class_names` the attribute of that name on the target dataset or the file,
    `datasets` the shape of every dataset by name. `pixels` is the map that makes images of hits, `packed` a converted
    copy that events are read from instead.
    """

    path: Path
    layout: Layout
    stored: Stored
    class_names: tuple[str, ...] | None
    datasets: Mapping[str, tuple[int, ...]] = field(hash=False)
    pixels: PixelMap | None = field(default=None, hash=False)
    packed: Packed | None = None

    @classmethod
    def open(cls, path: str | PathLike[str], layout: Layout | None = None) -> "EventFile":
        """Read the facts of a file; the events themselves are not read.

        Raises:
            DataError: the file is missing, not HDF5, truncated or being written; the events' dataset is
                missing, empty, of the wrong rank or of a type not in `DTYPES`.
        """
        path, layout = Path(path), layout or Layout()
        pixels = None if layout.pixels is None else load_pixels(layout.pixels, layout.first_pmt)
        with opened(path) as handle:
            facts = _events(handle, path, layout) if pixels is None else hits_stored(handle, path, pixels)
            _check_events(path, layout, facts)
            present = shapes(handle, also=layout.columns)
            holders = (handle[layout.target], handle) if layout.target in present else (handle,)
            return cls(path, layout, facts, class_names(*holders), present, pixels)

    @property
    def count(self) -> int:
        """The number of events, N."""
        return self.stored.shape[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """One event's (C, H, W)."""
        a, b, c = (*self.stored.shape[1:], 1)[:3]
        if self.layout.axes == "NCHW":
            return a, b, c
        return c, a, b

    @property
    def dtype(self) -> np.dtype[Any]:
        """The events' type as `events` gives them: in the byte order of the file, or native once converted."""
        return self.stored.dtype if self.packed is None else self.packed.dtype

    @property
    def chunk_rows(self) -> int:
        """Events that can only be read together."""
        return self.stored.chunks[0] if self.stored.chunks and self.packed is None else 1

    @property
    def place(self) -> tuple[Path, int] | None:
        """The file in which the events lie one after another as `dtype`, and the byte of the first; None if nowhere."""
        if self.packed is not None:
            return None if self.packed.sparse else (self.packed.path, 0)
        return None if self.stored.offset is None else (self.path, self.stored.offset)

    @property
    def needs_conversion(self) -> bool:
        """Whether reading events at random is slow: they are chunked, compressed, of foreign byte order, or hits."""
        return self.packed is None and (self.stored.offset is None or not self.dtype.isnative)

    def events(self) -> Any:
        """All events in the file's axes and type: a read-only `np.memmap`, or what is read like an array.

        The map is given when the values are contiguous and uncompressed. Otherwise it is an `h5py.Dataset`, the images
        of hits, or a converted copy; their file stays open as long as they live: open it in the process that reads it,
        never before a fork.
        """
        if self.packed is not None:
            return self.packed.events()
        if self.pixels is not None:
            return HitImages(self.path, self.pixels)
        if self.stored.offset is not None:
            return np.memmap(self.path, self.dtype, mode="r", offset=self.stored.offset, shape=self.stored.shape)
        return open_readonly(self.path, cache_bytes=self._cache_bytes())[self.layout.events]

    def _cache_bytes(self) -> int | None:
        chunks = self.stored.chunks
        if chunks is None:
            return None
        per_event = int(np.prod([-(-n // c) * c for n, c in zip(self.stored.shape[1:], chunks[1:], strict=True)]))
        # Reading neighbours decompresses each chunk once if all chunks of one row of chunks stay cached.
        return max(2**20, 2 * chunks[0] * per_event * self.dtype.itemsize)

    def column(self, name: str) -> npt.NDArray[Any]:
        """A dataset of one number, (N,), or k numbers, (N, k), per event, in native byte order.

        Axes of length 1 vanish and the rest are flattened: (N, 1) becomes (N,), (N, 1, 3) becomes (N, 3).

        Raises:
            DataError: there is no such dataset, its length is not N, or it does not hold numbers.
        """
        with opened(self.path) as handle:
            dataset = find(handle, self.path, name)
            facts = stored(dataset, self.path)
            self._check_column(name, facts)
            values = np.asarray(dataset[()])
        values = values.astype(values.dtype.newbyteorder("="), copy=False).reshape(self.count, -1)
        return values[:, 0] if values.shape[1] == 1 else values

    def _check_column(self, name: str, facts: Stored) -> None:
        if facts.shape[:1] != (self.count,):
            raise DataError(
                f"{self.path}: dataset {name!r} has shape {facts.shape}, but {self.layout.events!r} has "
                f"{self.count} events; it must have one row per event: name another dataset, or repair the file"
            )
        if facts.dtype.kind not in "fiub" or 0 in facts.shape:
            raise DataError(
                f"{self.path}: dataset {name!r} has type {facts.dtype} and shape {facts.shape}; accepted are "
                "integers, floats and booleans, at least one per event: name another dataset"
            )

    def fingerprint(self) -> dict[str, Any]:
        """What tells this file's contents from another's, as JSON; quick for files of any size.

        The events' count, shape and type, the SHA-256 of the target column (None where there is none) and of
        the bytes of at most 64 evenly spaced events.
        """
        rows = np.unique(np.linspace(0, self.count - 1, min(self.count, _SAMPLED)).round().astype(np.int64))
        events, dtype = self.events(), self.stored.dtype
        sample = sha256(b"".join(np.ascontiguousarray(events[row], dtype).tobytes() for row in rows.tolist()))
        target = self.layout.target
        known = target in self.datasets
        return {
            "count": self.count,
            "shape": list(self.shape),
            "dtype": self.stored.dtype.str,
            "target_sha256": sha256(self.column(target).tobytes()).hexdigest() if known else None,
            "events_sha256": sample.hexdigest(),
        }


def _events(handle: Any, path: Path, layout: Layout) -> Stored:
    try:
        return stored(find(handle, path, layout.events), path)
    except DataError as error:
        if layout.events in handle or any(name not in handle for name in HIT_NAMES):
            raise
        raise DataError(
            f"{path}: has no dataset {layout.events!r}; it holds digitised hits ({', '.join(HIT_NAMES)}): name the "
            ".npz file of the tubes' pixels as `data.pixels`"
        ) from error


def _check_events(path: Path, layout: Layout, facts: Stored) -> None:
    where = f"{path}: dataset {layout.events!r}"
    if len(facts.shape) != len(layout.axes):
        fitting = [axes for axes in AXES if len(axes) == len(facts.shape)]
        advice = f"set `axes` to {' or '.join(fitting)}" if fitting else "name the dataset that holds the images"
        raise DataError(
            f"{where} has {len(facts.shape)} axes, {facts.shape}; `axes: {layout.axes}` means "
            f"{len(layout.axes)}; {advice}"
        )
    if 0 in facts.shape:
        raise DataError(f"{where} is empty, {facts.shape}; at least one event of one pixel is needed: make it again")
    if facts.dtype.newbyteorder("=").name not in DTYPES:
        raise DataError(
            f"{where} has type {facts.dtype}; accepted are {', '.join(DTYPES)}; convert it or name another dataset"
        )
