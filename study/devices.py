"""Which devices a host offers, and how many threads each worker gets."""

import math
import os
from pathlib import Path

from storage.errors import ConfigError

CGROUPS = Path("/sys/fs/cgroup")
MOST_THREADS = 4
"""More threads than this prepare batches no faster."""


def device_slots(devices: str | tuple[str, ...], per_device: int, workers: int | None) -> list[str]:
    """One torch device name per worker slot, devices in turn.

    Args:
        devices: ``auto`` (every visible GPU, else the CPU), ``cpu``, ``cuda:0,cuda:1``, or a list of such names.
        per_device: Slots on each device; the CPU has as many as are asked for.
        workers: Number of slots; None means all slots of the GPUs, or one per core on the CPU.

    Raises:
        ConfigError: A device that this host does not have or that is named twice, or more workers than slots.
    """
    names = _names(devices)
    order = names * per_device
    if workers is None:
        workers = cpu_count() if names == ["cpu"] else len(order)
    if names != ["cpu"] and workers > len(order):
        raise ConfigError(
            f"{workers} workers need {workers} slots, and {', '.join(names)} with workers.per_device {per_device} have "
            f"{len(order)}; raise workers.per_device, or ask for fewer workers"
        )
    return [order[slot % len(order)] for slot in range(workers)]


def _names(devices: str | tuple[str, ...]) -> list[str]:
    names = [name.strip() for name in (devices.split(",") if isinstance(devices, str) else devices)]
    gpus = gpu_names()
    if names == ["auto"]:
        return gpus or ["cpu"]
    for name in names:
        if name != "cpu" and name not in gpus:
            found = ", ".join(["cpu", *gpus])
            raise ConfigError(f"there is no device {name!r} on this host; it has: {found}; or give auto")
        if names.count(name) > 1:
            raise ConfigError(f"device {name!r} is named twice; workers.per_device gives it several workers")
    return names


def gpu_names() -> list[str]:
    """Torch's names of the visible GPUs; asking makes no CUDA context."""
    import torch

    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []


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
    return max(1, min(MOST_THREADS, cpu_count() // max(1, slots))) if gpu_names() else 1
