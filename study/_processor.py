"""What computes: the name of a GPU or of this machine's processor."""

import platform
from functools import lru_cache
from pathlib import Path

import torch


@lru_cache
def processor(device: str) -> str:
    """The name of what a torch device computes on."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else _cpu()


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
