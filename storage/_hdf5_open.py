"""Opening an HDF5 file for reading, with errors a physicist can act on."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

import h5py

from storage.errors import DataError

_TRUNCATED = re.compile(r"truncated file: eof = (\d+), sblock->base_addr = (\d+), stored_eof = (\d+)")


@contextmanager
def opened(path: Path, *, cache_bytes: int | None = None) -> Iterator[h5py.File]:
    """Open `path` for reading and close it at the end of the block.

    HDF5 takes a shared lock: any number of processes may read while none writes.

    Args:
        path: the file.
        cache_bytes: size of each dataset's chunk cache in bytes; HDF5's own when None.

    Raises:
        DataError: the file is missing, unreadable, not HDF5, truncated or being written.
    """
    with open_readonly(path, cache_bytes=cache_bytes) as handle:
        yield handle


def open_readonly(path: Path, *, cache_bytes: int | None = None) -> h5py.File:
    """Open `path` for reading as in `opened`; the caller closes the returned file."""
    try:
        return h5py.File(path, "r", rdcc_nbytes=cache_bytes)
    except OSError as error:
        raise DataError(_explanation(path, error)) from error


def _explanation(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return _missing(path)
    if isinstance(error, IsADirectoryError):
        return f"{path}: is a folder; give the path of one HDF5 file"
    if isinstance(error, PermissionError):
        return f"{path}: may not be read by this user; change its permissions (chmod a+r)"
    if isinstance(error, BlockingIOError) or "open for write" in str(error):
        return _being_written(path)
    if "unable to lock file" in str(error):
        return (
            f"{path}: this file system cannot lock files ({error}); "
            "if no process writes the file, set HDF5_USE_FILE_LOCKING=FALSE"
        )
    return _damaged(path, str(error))


def _missing(path: Path) -> str:
    files = path.parent.iterdir() if path.parent.is_dir() else []
    beside = sorted(p.name for p in files if p.suffix in (".h5", ".hdf5", ".hdf", path.suffix) and p.is_file())
    nearest = get_close_matches(path.name, beside, n=1)
    hint = f"; did you mean {path.parent / nearest[0]}?" if nearest else ""
    where = "" if path.parent.is_dir() else f" (nor does the folder {path.parent})"
    return f"{path}: does not exist{where}; give the path of an HDF5 file{hint}"


def _being_written(path: Path) -> str:
    return (
        f"{path}: another process is writing it, or died while writing; wait until it has finished, "
        f"or make the file again. `h5clear -s {path}` removes the mark a dead writer left, not the damage"
    )


def _damaged(path: Path, message: str) -> str:
    size = os.path.getsize(path)
    if match := _TRUNCATED.search(message):
        _, base, stored = map(int, match.groups())
        return truncated(path, size, max(stored, base + 1))
    if "file signature not found" in message and size:
        return f"{path}: is not an HDF5 file ({size} bytes without an HDF5 signature); give the path of an HDF5 file"
    return f"{path}: is empty or damaged ({size} bytes; HDF5 says: {message}); copy or download it again"


def truncated(path: Path, size: int, expected: int) -> str:
    """The message for a file of `size` bytes that should hold `expected`."""
    return (
        f"{path}: is truncated, as after an interrupted download or copy: it has {size} bytes of at least "
        f"{expected}; copy or download it again"
    )
