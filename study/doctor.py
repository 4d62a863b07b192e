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

from objectives._memory import available_memory
from storage.database import Database, redacted
from storage.errors import DatabaseError
from study._gpus import Gpu, visible_gpus
from study._mps import sharing
from study.devices import cpu_count

PACKAGES = ("torch", "optuna", "optuna-dashboard", "sqlalchemy", "h5py", "numpy", "pydantic", "safetensors")
OPTIONAL = {"cmaes": "the sampler cma_es"}
LITTLE_DISK_GB = 5.0
OLDEST_PYTHON = (3, 11)


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
    wanted = ".".join(map(str, OLDEST_PYTHON))
    new = sys.version_info[:2] >= OLDEST_PYTHON
    yield Finding(
        "python",
        f"{platform.python_version()} at {sys.executable}",
        new,
        "" if new else f"install Python {wanted} or newer, and Studyhall in it",
    )
    yield Finding("cpu", f"{cpu_count()} cores for this process ({platform.machine()})")
    memory, total = available_memory() / 2**30, psutil.virtual_memory().total / 2**30
    yield Finding("memory", f"{memory:.1f} of {total:.1f} GiB available to this process")
    disk = shutil.disk_usage(Path.cwd()).free / 2**30
    remedy = "" if disk > LITTLE_DISK_GB else "weights and data need room: free some, or use another folder"
    yield Finding("disk", f"{disk:.1f} GiB free in {Path.cwd()}", disk > LITTLE_DISK_GB, remedy)


def _packages() -> Iterator[Finding]:
    for name in PACKAGES:
        version = _version(name)
        yield Finding(name, version or "not installed", version is not None, "" if version else f"pip install {name}")
    for name, purpose in OPTIONAL.items():
        if _version(name) is None:
            yield Finding(name, f"not installed; only {purpose} needs it (pip install {name})")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _gpus() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding("gpu", f"torch cannot be imported: {error}", False, "pip install --force-reinstall torch")
    gpus = visible_gpus()
    if gpus:
        faulty = [gpu.name for gpu in gpus if gpu.reading.fault is not None]
        remedy = f"reset {', '.join(faulty)} or restart the machine; `dmesg` tells more" if faulty else ""
        return Finding("gpu", "; ".join([*map(_gpu, gpus), sharing()]), not faulty, remedy)
    if torch.version.cuda is None and torch.version.hip is None:
        return Finding("gpu", "none: this torch is built for the CPU, and so workers use the CPU")
    return Finding("gpu", "none that torch can use; workers use the CPU (nvidia-smi tells whether the driver sees one)")


def _gpu(gpu: Gpu) -> str:
    now = gpu.reading
    told = (
        None if now.utilisation is None else f"{now.utilisation:.0f} % busy",
        None if now.power_w is None else f"{now.power_w:.0f} W",
        None if now.temperature_c is None else f"{now.temperature_c:.0f} °C",
        f"{now.ecc_errors} uncorrectable memory errors" if now.ecc_errors else None,
        "in use" if gpu.busy else None,
    )
    return ", ".join([str(gpu), *(text for text in told if text is not None)])


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
        return Finding(
            "database", str(error).removeprefix("database "), False, "start it, or give another with --storage URL"
        )
    except Exception as error:  # a driver that is missing or broken
        found = f"{redacted(url)}: {type(error).__name__}: {error}"
        return Finding("database", found, False, "reinstall Studyhall, or give another with --storage URL")
    return Finding("database", f"{database.name}, version {version}")
