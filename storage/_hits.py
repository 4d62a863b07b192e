"""WatChMaL's digitised hits, seen as images: a list of hits per event, and a map from tubes to pixels.

    event_hits_index  int64 (N,)    where each event's hits begin
    hit_pmt           int (M,)      the tube of each hit
    hit_charge        float (M,)    photo-electrons
    hit_time          float (M,)    ns

An image has the charges in channels 0 to K - 1 and the times in K to 2K - 1, where K is the number of tubes of a
pixel. Where several hits of an event are of one tube the last one counts, as in WatChMaL's own images.
"""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from storage._hdf5_datasets import Stored, find, stored
from storage._hdf5_open import open_readonly
from storage.errors import DataError

INDEX, PMT, CHARGE, TIME = "event_hits_index", "hit_pmt", "hit_charge", "hit_time"
NAMES = (INDEX, PMT, CHARGE, TIME)
PER_MODULE = 19
"""Tubes of a multi-PMT module: tube p is number p % 19 of module p // 19."""

_PIXELS, _MODULES = "pmt_image_positions", "mpmt_image_positions"
_READ = 2**22  # hits read at a time

_Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class PixelMap:
    """Where each tube lies in an image.

    Attributes:
        path: the file it was read from.
        shape: (H, W, 2K) of an image.
        charges: (P,) position of each tube's charge in the flattened image; its time is K after it.
        first: the number of the first tube.
    """

    path: Path
    shape: tuple[int, int, int]
    charges: npt.NDArray[np.int64]
    first: int

    @property
    def tubes(self) -> int:
        """K, the tubes of a pixel."""
        return self.shape[2] // 2

    @property
    def digest(self) -> str:
        """Tells one map from another."""
        return sha256(repr((self.shape, self.first)).encode() + self.charges.tobytes()).hexdigest()


def load_pixels(path: Path, first: int = 0) -> PixelMap:
    """Read a map from a .npz file.

    It holds `mpmt_image_positions` (M, 2), row and column of each module of 19 tubes, or `pmt_image_positions` (P, 2),
    row and column of each tube, or (P, 3) with its channel. The image is as large as the largest position needs.

    Raises:
        DataError: the file cannot be read, or holds no such array.
    """
    name, positions = _positions(path)
    if positions.ndim != 2 or positions.shape[1] not in ((2,) if name == _MODULES else (2, 3)) or not len(positions):
        raise DataError(
            f"{path}: array {name!r} has shape {positions.shape}; it must be one row (row, column) per tube"
        )
    if positions.dtype.kind not in "iu" or positions.min() < 0:
        raise DataError(f"{path}: array {name!r} must hold integers from 0 up: rows and columns of the image")
    positions = positions.astype(np.int64)
    if name == _MODULES:
        channel = np.tile(np.arange(PER_MODULE), len(positions))
        positions = np.column_stack([np.repeat(positions, PER_MODULE, axis=0), channel])
    elif positions.shape[1] == 2:
        positions = np.column_stack([positions, np.zeros(len(positions), np.int64)])
    height, width, tubes = (positions.max(axis=0) + 1).tolist()
    charges = (positions[:, 0] * width + positions[:, 1]) * 2 * tubes + positions[:, 2]
    if len(np.unique(charges)) != len(charges):
        raise DataError(f"{path}: array {name!r} gives two tubes one place; each must have its own")
    return PixelMap(path, (height, width, 2 * tubes), charges, first)


def _positions(path: Path) -> tuple[str, _Array]:
    try:
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            if not isinstance(content, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            for name in (_MODULES, _PIXELS):
                if name in content:
                    return name, content[name]
            present = ", ".join(content.files) or "none"
    except FileNotFoundError as error:
        raise DataError(f"{path}: does not exist; give the .npz file of the tubes' pixels as `data.pixels`") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: is not a readable .npz file ({error}); make it with numpy.savez") from error
    raise DataError(f"{path}: has no array {_MODULES!r} or {_PIXELS!r}; it has: {present}")


def hits_stored(handle: h5py.File, path: Path, pixels: PixelMap) -> Stored:
    """How the images of a file of hits would lie in a file that held them: (N, H, W, C), with no place of their own.

    Raises:
        DataError: a dataset is missing or of the wrong shape or type.
    """
    found = {name: stored(find(handle, path, name), path) for name in NAMES}
    for name, facts in found.items():
        kinds = "f" if name in (CHARGE, TIME) else "iu"
        if len(facts.shape) != 1 or facts.dtype.kind not in kinds:
            raise DataError(
                f"{path}: dataset {name!r} has type {facts.dtype} and shape {facts.shape}; digitised hits have one "
                f"axis of {'floats' if kinds == 'f' else 'integers'}"
            )
    hits = {name: found[name].shape[0] for name in (PMT, CHARGE, TIME)}
    if len(set(hits.values())) != 1:
        raise DataError(
            f"{path}: {', '.join(f'{name} has {count}' for name, count in hits.items())} hits; they must agree"
        )
    dtype = np.result_type(found[CHARGE].dtype, found[TIME].dtype)
    return Stored((*found[INDEX].shape, *pixels.shape), dtype, None, None)


class HitImages:
    """The images (N, H, W, C) of a file of hits, read like an array: by index, slice or indices, or by `gather`.

    It opens the file; make it in the process that reads it.
    """

    def __init__(self, path: Path, pixels: PixelMap) -> None:
        self._path, self._pixels = path, pixels
        handle = open_readonly(path)
        facts = hits_stored(handle, path, pixels)
        self.shape, self.dtype = facts.shape, facts.dtype
        self._hit_data = tuple(find(handle, path, name) for name in (PMT, CHARGE, TIME))
        hits = self._hit_data[0].shape[0]
        self._edges = np.append(np.asarray(find(handle, path, INDEX)).astype(np.int64), hits)
        if self._edges[0] < 0 or np.any(np.diff(self._edges) < 0):
            raise DataError(f"{path}: dataset {INDEX!r} must rise from 0 to at most the number of hits, {hits}")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: Any) -> _Array:
        indices = np.arange(len(self))[which]
        out = np.empty((indices.size, *self.shape[1:]), self.dtype)
        self.gather(np.atleast_1d(indices).astype(np.int64), out)
        return out if np.ndim(indices) else out[0]

    def gather(self, indices: npt.NDArray[np.int64], out: _Array) -> None:
        """Write the images of the events at `indices` (b,), which must be in range, into `out` (b, H, W, C)."""
        out[...] = 0
        for begin, end in self._runs(indices):
            first, last = int(indices[begin]), int(indices[end - 1])
            start, stop = int(self._edges[first]), int(self._edges[last + 1])
            pmts, charges, times = (np.asarray(dataset[start:stop]) for dataset in self._hit_data)
            counts = self._edges[first + 1 : last + 2] - self._edges[first : last + 1]
            rows = np.repeat(np.arange(begin, end), counts)
            places = self._places(pmts, rows, indices)
            flat = out.reshape(len(out), -1)
            flat[rows, places] = charges
            flat[rows, places + self._pixels.tubes] = times

    def _runs(self, indices: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """Where neighbours of the file stand together in `indices`, cut where their hits would be too many."""
        begin = 0
        for end in range(1, len(indices) + 1):
            together = end < len(indices) and indices[end] == indices[end - 1] + 1
            if together and self._edges[indices[end] + 1] - self._edges[indices[begin]] <= _READ:
                continue
            yield begin, end
            begin = end

    def _places(self, pmts: _Array, rows: _Array, indices: _Array) -> npt.NDArray[np.int64]:
        tubes = pmts.astype(np.int64) - self._pixels.first
        count = len(self._pixels.charges)
        bad = (tubes < 0) | (tubes >= count)
        if bad.any():
            at = int(np.argmax(bad))
            raise DataError(
                f"{self._path}: event {indices[rows[at]]} has a hit of tube {pmts[at]}, but {self._pixels.path} has "
                f"tubes {self._pixels.first} to {self._pixels.first + count - 1}; give the map of this detector, or "
                "the number of its first tube as `data.first_pmt`"
            )
        return self._pixels.charges[tubes]
