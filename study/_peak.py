"""How much of its device's memory a worker has taken at most."""

import resource
import sys
from pathlib import Path

import psutil

STATUS = Path("/proc/self/status")
WORTH_TELLING = 1.05
"""By what factor it must have risen since it was last told."""


class PeakMemory:
    """Of this process: on a GPU what its allocator holds, on a CPU what it has beyond what it was forked with."""

    def __init__(self, device: str) -> None:
        """Begin; what the process has now is not its own.

        Args:
            device: Torch's name.
        """
        self._device = device
        self._shared = psutil.Process().memory_info().rss
        self._told = 0

    def risen(self) -> int | None:
        """Bytes at the highest point so far, if that is worth telling."""
        now = self._now()
        if now <= WORTH_TELLING * self._told:
            return None
        self._told = now
        return now

    def _now(self) -> int:
        if self._device.startswith("cuda"):
            import torch

            return torch.cuda.max_memory_reserved(self._device)
        return max(0, _highest() - self._shared)


def _highest() -> int:
    """Bytes of this process at most; Linux's own file, since `getrusage` counts what was there before an exec too."""
    if STATUS.is_file():
        lines = STATUS.read_text(encoding="ascii", errors="replace").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
