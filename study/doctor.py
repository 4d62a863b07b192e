"""What this machine has, what is missing, and how to get it."""

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from storage.database import Database
from storage.errors import DatabaseError
from study.devices import cpu_count, gpu_names

PACKAGES = ("torch", "optuna", "optuna-dashboard", "sqlalchemy", "h5py", "numpy", "pydantic", "safetensors")
LITTLE_DISK_GB = 5.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        good: Whether Studyhall can work with it.
        remedy: What to do, or an empty text.
    """

    subject: str
    found: str
    good: bool = True
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


def examine(url: str) -> list[Finding]:
    """Look at this machine and the database; changes nothing."""
    return [*_machine(), *_packages(), _gpus(), _database(url)]


def _machine() -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding("python", f"{version} at {sys.executable}", sys.version_info >= (3, 11), "")
    memory = psutil.virtual_memory()
    yield Finding("cpu", f"{cpu_count()} cores for this process ({platform.machine()})")
    yield Finding("memory", f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB available")
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    remedy = "" if free > LITTLE_DISK_GB else "weights and data need room: free some, or use another folder"
    yield Finding("disk", f"{free:.1f} GiB free in {Path.cwd()}", free > LITTLE_DISK_GB, remedy)


def _packages() -> Iterator[Finding]:
    for name in PACKAGES:
        try:
            yield Finding(name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "not installed", False, f"pip install {name}")


def _gpus() -> Finding:
    import torch

    names = gpu_names()
    if names:
        return Finding("gpu", ", ".join(f"{name} {torch.cuda.get_device_name(name)}" for name in names))
    if torch.version.cuda is None:
        return Finding("gpu", "none: this torch has no CUDA; workers use the CPU")
    return Finding("gpu", "none visible; workers use the CPU")


def _database(url: str) -> Finding:
    try:
        database = Database(url)
        file = Path(str(database.url.database))
        if database.url.get_backend_name() == "sqlite" and not file.is_file():
            return Finding("database", f"{file}: none yet; the first launch creates it")
        with database.read() as connection:
            version = ".".join(str(part) for part in connection.dialect.server_version_info or ())
        database.close()
    except DatabaseError as error:
        return Finding("database", str(error), False, "start it, or give another with --storage URL")
    return Finding("database", f"{database.name}, version {version}")
