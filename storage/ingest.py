"""Converting events once into a form that is read at the speed of memory, and keeping the result.

A cache folder holds

    <key>/                  converted events (`storage/_packed.py`)
    known/<source>.json     which key a source had when it was last looked at
    .<key>.lock             held while somebody converts
    .<key>-….partial/       being written, or left by somebody who was killed

The key is a digest of the source's bytes, of what is read from it, and of the map that makes images of hits. So a copy
of a file finds what was converted for the original, and a changed file never does. Since reading a large file to know
its digest takes time, it is remembered with the file's path, size and time of modification.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from os import stat_result
from pathlib import Path
from typing import Any

import numpy as np

from storage._conversion import CannotConvert, Progress, convert, explained, silent
from storage._hdf5_datasets import find, lies_in
from storage._hdf5_open import opened
from storage._hits import NAMES as HIT_NAMES
from storage._packed import ENTRY, FORMAT, Packed, open_packed
from storage.errors import DataError
from storage.files import remove, write_file
from storage.hdf5 import EventFile

__all__ = [
    "BESIDE",
    "CannotConvert",
    "Entry",
    "Progress",
    "cache_folder",
    "clear",
    "entries",
    "ingest",
    "silent",
    "with_packed",
]

BESIDE = ".studyhall-cache"
"""The cache's folder beside the data."""

_KNOWN = "known"
# A folder that was named by mistake may hold other things, which stay.
_OURS = re.compile(r"\.?(?P<key>[0-9a-f]{32})(\.lock|-[0-9a-f]{8}\.partial)?")
_READ = 2**24  # bytes of the source read at a time for its digest


@dataclass(frozen=True)
class Entry:
    """Converted events in a cache.

    Attributes:
        key: its name in the cache's folder.
        source: the file they were made from, as it was called then.
        events: how many.
        nbytes: on the disk.
        sparse: whether only what is not zero is kept.
        dense_nbytes: of the events in memory, dense.
    """

    key: str
    source: str
    events: int
    nbytes: int
    sparse: bool
    dense_nbytes: int


def cache_folder(data: Path, configured: Path | None) -> Path:
    """Where conversions of a file are kept: the folder that was configured, else one beside the file."""
    return configured if configured is not None else data.absolute().parent / BESIDE


def with_packed(file: EventFile, folder: Path) -> EventFile:
    """The file, read from what has been converted before if there is that; it takes no time and writes nothing."""
    if not file.needs_conversion:
        return file
    known = _known(file, folder)
    packed = None if known is None else _fitting(file, folder / known)
    return file if packed is None else replace(file, packed=packed)


def ingest(
    file: EventFile, folder: Path, *, progress: Progress = silent, waiting: Callable[[], None] = lambda: None
) -> EventFile:
    """The file, read from converted events, which are made now unless that has been done before.

    Several processes may call this at once: one converts, the others wait for it. It leaves no thread and no open file.

    Args:
        file: any.
        folder: the cache's; it is made if there is none.
        progress: told how far it is.
        waiting: called once if somebody else is converting the same.

    Raises:
        CannotConvert: the folder cannot be written, its disk is too full, or the values lie in another file.
        DataError: the events cannot be read.
    """
    found = with_packed(file, folder)
    if not found.needs_conversion:
        return found
    _check_own(file)
    with explained(file, folder):
        folder.mkdir(parents=True, exist_ok=True)
        looked_at = file.path.stat()
        key = _key(file, progress)
        with _locked(folder / f".{key}.lock", waiting) as alone:
            for left in folder.glob(f".{key}-*.partial") if alone else ():
                shutil.rmtree(left, ignore_errors=True)
            packed = _fitting(file, folder / key)
            if packed is None:
                convert(file, folder, key, _source(file), progress)
                packed = _fitting(file, folder / key)
        if packed is None:
            raise OSError(errno.EIO, "the converted events are incomplete", str(folder / key))
        _check_unchanged(file, looked_at)
        _remember(file, folder, key, looked_at)
    return replace(file, packed=packed)


def entries(folder: Path) -> list[Entry]:
    """What a cache folder holds, the largest first."""
    found = []
    for inside in _inside(folder):
        packed = open_packed(inside)
        if packed is not None:
            told = json.loads((inside / ENTRY).read_text(encoding="utf-8"))
            size = sum(path.stat().st_size for path in inside.iterdir())
            dense = int(np.prod(packed.shape, dtype=object)) * packed.dtype.itemsize
            found.append(Entry(inside.name, told["source"], packed.shape[0], size, packed.sparse, dense))
    return sorted(found, key=lambda entry: -entry.nbytes)


def clear(folder: Path) -> None:
    """Remove a cache and what was left half written, except what is being written.

    Whoever reads converted events goes on with what is open.
    """
    ours = [(inside, name) for inside in _inside(folder) if (name := _OURS.fullmatch(inside.name))]
    busy = {name["key"] for inside, name in ours if inside.suffix == ".lock" and _held(inside)}
    for inside, name in ours:
        if name["key"] not in busy:
            remove(str(inside))
    if not busy:
        remove(str(folder / _KNOWN))
    if not _inside(folder):
        remove(str(folder))


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _held(lock: Path) -> bool:
    with lock.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


def _fitting(file: EventFile, folder: Path) -> Packed | None:
    packed = open_packed(folder)
    return packed if packed is not None and packed.shape == file.stored.shape else None


def _check_own(file: EventFile) -> None:
    with opened(file.path) as handle:
        for name in HIT_NAMES if file.pixels is not None else (file.layout.events,):
            if not lies_in(find(handle, file.path, name), file.path):
                raise CannotConvert(
                    f"{file.path}: the values of dataset {name!r} lie in another file, so nothing is kept of it"
                )


def _source(file: EventFile) -> list[Any]:
    """What is read from the file: part of the key."""
    if file.pixels is not None:
        return ["hits", file.pixels.digest]
    return ["events", file.layout.events]


def _note(file: EventFile, folder: Path) -> Path:
    name = json.dumps([str(file.path.resolve()), *_source(file)])
    return folder / _KNOWN / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.json"


def _known(file: EventFile, folder: Path) -> str | None:
    try:
        told = json.loads(_note(file, folder).read_text(encoding="utf-8"))
        now = file.path.stat()
        same = [told["size"], told["mtime_ns"]] == [now.st_size, now.st_mtime_ns]
        return str(told["key"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(file: EventFile, folder: Path, key: str, seen: stat_result) -> None:
    told = {"path": str(file.path.resolve()), "size": seen.st_size, "mtime_ns": seen.st_mtime_ns, "key": key}
    write_file(str(_note(file, folder)), json.dumps(told, indent=1).encode())


def _check_unchanged(file: EventFile, before: stat_result) -> None:
    now = file.path.stat()
    if (before.st_size, before.st_mtime_ns) != (now.st_size, now.st_mtime_ns):
        raise DataError(
            f"{file.path}: was changed while its events were being converted; try again when it is complete"
        )


def _key(file: EventFile, progress: Progress) -> str:
    digest, done, total = hashlib.sha256(json.dumps([FORMAT, *_source(file)]).encode()), 0, file.path.stat().st_size
    with file.path.open("rb") as source:
        while block := source.read(_READ):
            digest.update(block)
            done += len(block)
            progress("reading", done, max(done, total))
    return digest.hexdigest()[:32]


@contextlib.contextmanager
def _locked(path: Path, waiting: Callable[[], None]) -> Iterator[bool]:
    """Hold a lock on a file; whether that is sure.

    Where the file system has no locks, two may do the same work, and either's result is good.
    """
    alone = True
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
                raise
            alone = False
        yield alone
