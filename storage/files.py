"""Files that other processes may read: whole or not at all, in a folder or at any fsspec URL."""

import os
import shutil
import uuid
from pathlib import Path
from typing import Any


def is_remote(place: str) -> bool:
    """Whether the place is an fsspec URL such as ``s3://bucket/folder`` rather than a path."""
    return "://" in place


def join(folder: str, *names: str) -> str:
    """A place below a folder."""
    return "/".join([folder.rstrip("/"), *names])


def write_file(place: str, content: bytes, *, durable: bool = True) -> None:
    """Write a file so that a reader finds all of it or none.

    On a file system it is written beside and renamed; an object store does the like itself.

    Args:
        durable: Whether it must outlive a crash of the machine, which takes a wait for the disk.

    Raises:
        OSError: It cannot be written.
    """
    if is_remote(place):
        filesystem = _filesystem(place)
        filesystem.makedirs(place.rpartition("/")[0], exist_ok=True)
        filesystem.pipe_file(place, content)
        return
    path = Path(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        with beside.open("xb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    if durable:
        _sync_folder(path.parent)


def read_file(place: str) -> bytes:
    """The file's content.

    Raises:
        OSError: It is not there or cannot be read.
    """
    if is_remote(place):
        content: bytes = _filesystem(place).cat_file(place)
        return content
    return Path(place).read_bytes()


def exists(place: str) -> bool:
    """Whether there is such a file or folder."""
    return bool(_filesystem(place).exists(place)) if is_remote(place) else Path(place).exists()


def remove(place: str) -> None:
    """Remove a file, or a folder with all it holds; what is not there is removed already."""
    if is_remote(place):
        filesystem = _filesystem(place)
        if filesystem.exists(place):
            filesystem.rm(place, recursive=True)
    elif Path(place).is_dir():
        shutil.rmtree(place, ignore_errors=True)
    else:
        Path(place).unlink(missing_ok=True)


def list_folder(place: str) -> list[str]:
    """Names of what a folder holds, sorted; nothing where there is no such folder."""
    if not is_remote(place):
        return sorted(entry.name for entry in Path(place).iterdir()) if Path(place).is_dir() else []
    filesystem = _filesystem(place)
    if not filesystem.exists(place):
        return []
    return sorted(str(entry).rstrip("/").rpartition("/")[2] for entry in filesystem.ls(place, detail=False))


def _filesystem(place: str) -> Any:
    # Its import costs time that a study on a plain folder need not spend.
    import fsspec

    filesystem, _ = fsspec.core.url_to_fs(place)
    return filesystem


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
