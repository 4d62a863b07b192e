"""Finding datasets in an open HDF5 file and learning how their bytes lie there."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from storage._hdf5_open import truncated
from storage.errors import DataError

_LISTED = 20  # names an error message shows at most


@dataclass(frozen=True)
class Stored:
    """How one dataset lies in its file.

    `offset` is the byte at which its values begin when they are contiguous, uncompressed and laid out as
    `dtype` says, so that they can be memory mapped; None when only HDF5 can read them. `chunks` is the
    shape of a chunk, None for a dataset without.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int | None
    chunks: tuple[int, ...] | None

    @property
    def nbytes(self) -> int:
        """Bytes of all values, uncompressed."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize


def shapes(handle: h5py.File, also: Iterable[str] = ()) -> dict[str, tuple[int, ...]]:
    """The shape of each dataset of the file, by its name from the root.

    HDF5 visits no links; names given in `also` are found through links too.
    """
    found: dict[str, tuple[int, ...]] = {}

    names: list[str] = []
    handle.visit(names.append)
    for name in (*names, *also):
        node = _node(handle, name)
        if isinstance(node, h5py.Dataset) and node.shape is not None:
            found[name] = tuple(node.shape)
    return found


def _node(handle: h5py.File, name: str) -> object:
    """What is called `name`; None if nothing is; the error if it is there and cannot be opened."""
    try:
        return handle[name]
    except (KeyError, OSError, ValueError) as error:
        there = isinstance(handle.get(name, getlink=True), h5py.HardLink)
        return error if there else None


def find(handle: h5py.File, path: Path, name: str) -> h5py.Dataset:
    """The dataset `name`.

    Raises:
        DataError: there is none, and the message lists those present; or it is damaged.
    """
    node = _node(handle, name)
    if isinstance(node, Exception):
        raise DataError(
            f"{path}: dataset {name!r} cannot be read, as after an interrupted download or copy (HDF5 says: {node}); "
            "copy or download the file again"
        ) from node
    if isinstance(node, h5py.Dataset) and node.shape is not None:
        return node
    present = sorted(shapes(handle))
    nearest = get_close_matches(name, present, n=1)
    hint = f", for example {nearest[0]!r}" if nearest else ""
    raise DataError(
        f"{path}: has no dataset {name!r}; it has {_listing(present)}; name one of these under `data`{hint}"
    )


def _listing(names: list[str]) -> str:
    if not names:
        return "no dataset at all"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(repr(name) for name in names[:_LISTED]) + more


def stored(dataset: h5py.Dataset, path: Path) -> Stored:
    """How `dataset` lies in the file.

    Raises:
        DataError: its bytes end after the file does.
    """
    facts = Stored(tuple(dataset.shape), dataset.dtype, _offset(dataset, path), dataset.chunks)
    if facts.offset is not None:
        size = path.stat().st_size
        if facts.offset + facts.nbytes > size:
            raise DataError(f"{truncated(path, size, facts.offset + facts.nbytes)} (dataset {dataset.name!r})")
    return facts


def lies_in(dataset: h5py.Dataset, path: Path) -> bool:
    """Whether the values are in this very file, not behind a link, in external storage or in a virtual dataset."""
    plist = dataset.id.get_create_plist()
    elsewhere = plist.get_layout() == h5py.h5d.VIRTUAL or plist.get_external_count()
    return not elsewhere and path.samefile(dataset.file.filename)


def _offset(dataset: h5py.Dataset, path: Path) -> int | None:
    plist = dataset.id.get_create_plist()
    if plist.get_layout() != h5py.h5d.CONTIGUOUS or not lies_in(dataset, path):
        return None
    # A file type of fewer bits than its numpy type (a 12-bit integer in two bytes) needs HDF5's conversion.
    if dataset.id.get_type() != h5py.h5t.py_create(dataset.dtype):
        return None
    offset: int | None = dataset.id.get_offset()
    return offset


def class_names(*holders: h5py.HLObject) -> tuple[str, ...] | None:
    """The first attribute `class_names` among `holders` that is a list of strings, or None."""
    for holder in holders:
        value = np.atleast_1d(np.asarray(holder.attrs.get("class_names", ())))
        names = [item.decode() if isinstance(item, bytes) else item for item in value.ravel().tolist()]
        if names and all(isinstance(name, str) for name in names):
            return tuple(names)
    return None
