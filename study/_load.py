"""How busy an agent's devices are, and how much memory they have left."""

import os
from dataclasses import dataclass

import psutil

from objectives._memory import available_memory
from study._monitor import Monitor
from study._nvml import MIB


@dataclass(frozen=True)
class Load:
    """A device as it is now.

    Attributes:
        busy: Share of the last time in which it computed; None where nothing tells.
        free_bytes: Memory that nobody has; None where nothing tells.
    """

    busy: float | None
    free_bytes: float | None


def load_of(device: str, monitor: Monitor) -> Load:
    """What there is to tell of a slot's device: of a GPU by its monitor, of a part of the CPU that of all of it."""
    if not device.startswith("cuda"):
        return Load(_cpu_busy(), available_memory())
    now = monitor.reading(device)
    free = None if now.total_mb is None or now.used_mb is None else (now.total_mb - now.used_mb) * MIB
    return Load(None if now.utilisation is None else now.utilisation / 100, free)


def _cpu_busy() -> float:
    """Of the cores that this process may use, since it was last asked."""
    every = psutil.cpu_percent(percpu=True)
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(every))
    shares = [every[core] / 100 for core in usable if core < len(every)]
    return sum(shares) / max(1, len(shares))
