"""Converting all events of a file into packed ones."""

import contextlib
import errno
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from storage._packed import open_packed, write_packed
from storage._sparse import SparseForm
from storage.errors import DataError
from storage.hdf5 import EventFile

SPARSE_SHARE = 0.5
"""Events are kept sparse when that takes at most this share of their dense bytes."""

_SAMPLED = 64  # events that tell whether sparse is smaller
_BLOCK = 2**25  # bytes of dense events converted at a time
_RESERVE = 1.2  # of sparse events, whose size only a sample tells


class Progress(Protocol):
    """Told how far a conversion is."""

    def __call__(self, doing: str, done: int, total: int) -> None:
        """`done` of `total` bytes of what is being done; the last call of a step has them equal."""


def silent(doing: str, done: int, total: int) -> None:
    """Tell nobody."""


class CannotConvert(DataError):
    """There is no place for the converted events, or their values do not lie in the file that was named."""


def convert(file: EventFile, folder: Path, key: str, reads: Sequence[Any], progress: Progress) -> None:
    """Write all events of a file into `folder / key`, which appears only when it is whole.

    Args:
        file: its events are read from where they are.
        folder: exists; on the disk that must have room.
        key: the new folder's name.
        reads: what is read of the file, for the record.
        progress: told how far it is.
    """
    events, dtype = file.events(), file.dtype.newbyteorder("=")
    share = _sparse_share(events, dtype)
    sparse = share <= SPARSE_SHARE
    _check_room(file, folder, file.stored.nbytes * (share * _RESERVE if sparse else 1.0))
    partial = folder / f".{key}-{uuid.uuid4().hex[:8]}.partial"
    partial.mkdir()
    try:
        blocks = _blocks(file, events, dtype, progress)
        about = {"source": str(file.path), "reads": list(reads)}
        write_packed(partial, file.stored.shape, dtype, sparse=sparse, blocks=blocks, about=about)
        _put(partial, folder / key)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _put(partial: Path, place: Path) -> None:
    try:
        partial.rename(place)
    except OSError:
        if open_packed(place) is not None:  # without locks, somebody else may have been first
            return
        shutil.rmtree(place, ignore_errors=True)  # of another format, or incomplete
        partial.rename(place)


def _sparse_share(events: Any, dtype: np.dtype[Any]) -> float:
    """Bytes of sparse events over those of dense ones, by a sample."""
    form = SparseForm(tuple(events.shape[1:]), dtype)
    rows = np.unique(np.linspace(0, len(events) - 1, min(len(events), _SAMPLED)).astype(np.int64))
    sparse = sum(len(form.encode(np.asarray(events[row], dtype)[None])[0]) for row in rows.tolist())
    return sparse / (len(rows) * form.size * dtype.itemsize)


def _blocks(file: EventFile, events: Any, dtype: np.dtype[Any], progress: Progress) -> Iterator[npt.NDArray[Any]]:
    per_event = file.stored.nbytes // file.count
    rows = max(1, _BLOCK // per_event)
    rows = -(-rows // file.chunk_rows) * file.chunk_rows  # whole chunks
    for start in range(0, file.count, rows):
        stop = min(start + rows, file.count)
        yield np.asarray(events[start:stop], dtype)
        progress("converting", stop * per_event, file.stored.nbytes)


def _check_room(file: EventFile, folder: Path, needed: float) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CannotConvert(_advice(file, folder, f"needs {needed / 1e9:.3g} GB, and {free / 1e9:.3g} GB are free"))


@contextlib.contextmanager
def explained(file: EventFile, folder: Path) -> Iterator[None]:
    """Errors of the cache's own files, and of the source, as what a user can do about them."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # HDF5's
            raise DataError(
                f"{file.path}: the events cannot be read, as after an interrupted download or copy (HDF5 says: "
                f"{error}); copy or download the file again"
            ) from error
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR):
            raise
        raise CannotConvert(_advice(file, folder, f"is not possible: {error.strerror}")) from error


def _advice(file: EventFile, folder: Path, why: str) -> str:
    return (
        f"{file.path}: its events must be converted once to be read quickly; keeping them in {folder} {why}; make room "
        "there, set STUDYHALL_CACHE to another folder, or set data.cache: memory if the events fit into memory"
    )
