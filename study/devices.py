"""Which devices a host offers, and how many threads each worker gets."""

import logging
import math
import os
import re
from pathlib import Path
from typing import Literal

from storage.errors import ConfigError
from study._gpus import Gpu, visible_gpus

logger = logging.getLogger(__name__)

CGROUPS = Path("/sys/fs/cgroup")
MOST = 16
"""Workers that ``auto`` puts on a device, however empty it looks."""
PerDevice = int | Literal["auto"]
MOST_THREADS = 4
"""More threads than this prepare batches no faster."""
_CPU = re.compile(r"cpu(:\d+)?")
_NO_GPUS = ("", "-1", "NoDevFiles")
"""Values of CUDA_VISIBLE_DEVICES that hide all GPUs."""


def device_slots(
    devices: str | tuple[str, ...], per_device: PerDevice, workers: int | None, *, use_busy: bool = True
) -> list[str]:
    """One device name per worker slot, devices in turn.

    Args:
        devices: ``auto`` (every visible GPU, else the CPU), ``cpu``, ``cuda:0,cuda:1``, ``cpu:0,cpu:1`` (parts of the
            CPU, with `per_device` slots each), or a list of such names.
        per_device: Slots on each device; ``cpu`` has as many as are asked for. ``auto`` begins with one.
        workers: Number of slots; None means all slots of the devices, or one per core on ``cpu``. With ``auto`` the
            most that there may be.
        use_busy: Take GPUs that somebody else uses too. If not, ``auto`` leaves them out, and to name one is an error.

    Raises:
        ConfigError: A device that this host does not have, that is named twice, out of order or in use, or more
            workers than slots.
    """
    names = _names(devices, use_busy)
    if per_device == "auto":
        return names[:workers]
    order = names * per_device
    if workers is None:
        workers = cpu_count() if names == ["cpu"] else len(order)
    if names != ["cpu"] and workers > len(order):
        raise ConfigError(
            f"{workers} workers need {workers} slots, and {', '.join(names)} with workers.per_device {per_device} have "
            f"{len(order)}; raise workers.per_device, or ask for fewer workers"
        )
    return [order[slot % len(order)] for slot in range(workers)]


def most_per_device(devices: int, workers: int | None, cores: int | None = None) -> int:
    """How many workers ``auto`` may put on each device: no more than cores, and no more than are wanted.

    Args:
        devices: How many there are.
        workers: Wanted on all of them; None means as many as are of use.
        cores: Of this process; None asks the machine.
    """
    limit = min(cores or cpu_count(), workers or MOST * devices)
    return max(1, min(MOST, limit // devices))


def torch_name(device: str) -> str:
    """Torch's name of a slot's device: parts of the CPU are one device to torch."""
    return "cpu" if device.startswith("cpu") else device


def _names(devices: str | tuple[str, ...], use_busy: bool) -> list[str]:
    names = [name.strip() for name in (devices.split(",") if isinstance(devices, str) else devices)]
    gpus = visible_gpus()
    if names == ["auto"]:
        return _free(gpus, use_busy)
    by_name = {gpu.name: gpu for gpu in gpus}
    for name in names:
        if not _CPU.fullmatch(name) and name not in by_name:
            found = ", ".join(["cpu", *by_name])
            raise ConfigError(f"there is no device {name!r} on this host; it has: {found}; or give auto")
        if names.count(name) > 1:
            raise ConfigError(f"device {name!r} is named twice; workers.per_device gives it several workers")
        if name in by_name and by_name[name].reading.fault is not None:
            raise ConfigError(f"{by_name[name]}")
        if name in by_name and by_name[name].busy and not use_busy:
            raise ConfigError(f"{by_name[name]} is in use; --use-busy takes it all the same")
    return names


def _free(gpus: list[Gpu], use_busy: bool) -> list[str]:
    if not gpus and os.environ.get("CUDA_VISIBLE_DEVICES", "").strip() not in _NO_GPUS:
        raise ConfigError(
            f"CUDA_VISIBLE_DEVICES is {os.environ['CUDA_VISIBLE_DEVICES']!r}, but torch sees no GPU: install the build "
            "of torch for this machine's CUDA, or give --devices cpu"
        )
    whole = [gpu for gpu in gpus if gpu.reading.fault is None]
    free = [gpu for gpu in whole if use_busy or not gpu.busy]
    if gpus and not whole:
        raise ConfigError(f"every GPU is out of order: {'; '.join(map(str, gpus))}; --devices cpu does without")
    if whole and not free:
        raise ConfigError(
            f"every GPU is in use: {'; '.join(map(str, whole))}; --use-busy takes them all the same, --devices cpu "
            "leaves them alone"
        )
    for gpu in gpus:
        if gpu not in whole:
            logger.warning("left alone: %s", gpu)
        elif gpu not in free:
            logger.warning("left alone, since it is in use: %s; --use-busy takes it all the same", gpu)
    return [gpu.name for gpu in free] or ["cpu"]


def cpu_count(cgroups: Path = CGROUPS) -> int:
    """Cores that this process may use: its affinity, or less where a container's share is smaller.

    Args:
        cgroups: Where the control groups are mounted.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = _share(cgroups)
    return count if share is None else max(1, min(count, math.floor(share)))


def _share(cgroups: Path) -> float | None:
    """Cores' worth of time that the control group grants, of version 2 or 1; None without a limit."""
    try:
        if (cgroups / "cpu.max").is_file():
            quota, period = (cgroups / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota, period = ((cgroups / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max": no limit
        return None


def threads_per_worker(slots: int) -> int:
    """CPU threads for each worker: one on a host without GPUs, where that is fastest; else the cores that are left."""
    return max(1, min(MOST_THREADS, cpu_count() // max(1, slots))) if visible_gpus() else 1
