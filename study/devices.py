"""Which devices a host offers, and how many threads each worker gets."""

import os

from storage.errors import ConfigError


def device_slots(devices: str | tuple[str, ...], per_device: int, workers: int | None) -> list[str]:
    """One torch device name per worker slot.

    Args:
        devices: ``auto`` (every visible GPU, else the CPU), ``cpu``, ``cuda:0,cuda:1``, or a list of such names.
        per_device: Slots on each device.
        workers: Number of slots; None means one per GPU slot, or one per two CPU cores' worth on the CPU.

    Raises:
        ConfigError: A device that this host does not have.
    """
    names = _names(devices)
    if workers is None:
        workers = cpu_count() if names == ["cpu"] else len(names) * per_device
        workers = max(1, workers)
    order = [name for _ in range(per_device) for name in names]
    if names != ["cpu"] and workers > len(order):
        raise ConfigError(
            f"{workers} workers on {len(names)} devices × {per_device}; raise workers.per_device or lower --workers"
        )
    return [order[slot % len(order)] for slot in range(workers)]


def _names(devices: str | tuple[str, ...]) -> list[str]:
    names = [name.strip() for name in devices.split(",")] if isinstance(devices, str) else list(devices)
    gpus = gpu_names()
    if names == ["auto"]:
        return gpus or ["cpu"]
    for name in names:
        if name != "cpu" and name not in gpus:
            found = ", ".join(["cpu", *gpus])
            raise ConfigError(f"workers.devices names {name!r}; this host has: {found}; or give auto")
    return names


def gpu_names() -> list[str]:
    """Torch's names of the visible GPUs; asking makes no CUDA context."""
    import torch

    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []


def cpu_count() -> int:
    """Cores that this process may use: its affinity and its cgroup's limit."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = open("/sys/fs/cgroup/cpu.max", encoding="ascii").read().split()
    except (OSError, ValueError):
        return count
    return count if quota == "max" else max(1, min(count, int(quota) // int(period)))


def threads_per_worker(slots: int) -> int:
    """CPU threads for each worker: one on CPU-only hosts is measured best, more only when cores are left over."""
    return max(1, min(4, cpu_count() // max(1, slots))) if gpu_names() else 1
