"""What NVIDIA's driver tells of the visible GPUs; asking makes no CUDA context."""

import contextlib
import logging
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)

MIB = 2**20
BUSY_SHARE = 0.1
"""Of a GPU's memory; more in use means that somebody works on it, also where a container hides the process."""


@dataclass(frozen=True)
class Gpu:
    """A GPU as it is now.

    Attributes:
        name: Torch's name, such as ``cuda:0``: it counts those that ``CUDA_VISIBLE_DEVICES`` leaves visible.
        model: Such as ``NVIDIA H100 80GB HBM3``.
        total_mb, used_mb: Memory in MiB; None where the driver does not say.
        processes: Ids of the processes that compute on it.
    """

    name: str
    model: str
    total_mb: float | None = None
    used_mb: float | None = None
    processes: tuple[int, ...] = ()

    @property
    def busy(self) -> bool:
        """Whether somebody works on it already."""
        return bool(self.processes) or bool(self.total_mb and (self.used_mb or 0.0) > BUSY_SHARE * self.total_mb)

    def __str__(self) -> str:
        if self.total_mb is None or self.used_mb is None:
            return f"{self.name} ({self.model})"
        free = f"{(self.total_mb - self.used_mb) / 1024:.1f} of {self.total_mb / 1024:.1f} GiB free"
        by = f", used by process {', '.join(map(str, self.processes))}" if self.processes else ""
        return f"{self.name} ({self.model}, {free}{by})"


def visible_gpus() -> list[Gpu]:
    """The GPUs that torch sees, in its order; none where it is built without CUDA."""
    import torch

    if not torch.cuda.is_available():
        return []
    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    with _driver() as driver:
        return [_seen(f"cuda:{index}", properties, driver) for index, properties in enumerate(found)]


@contextlib.contextmanager
def _driver() -> Any:
    import pynvml  # the package nvidia-ml-py

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        logger.warning("NVML does not answer (%s): GPUs that others use are not recognized", error)
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _seen(name: str, properties: Any, driver: Any) -> Gpu:
    """By its UUID, since torch and NVML count GPUs in different orders."""
    if driver is None:
        return Gpu(name, properties.name)
    try:
        handle = driver.nvmlDeviceGetHandleByUUID(f"GPU-{properties.uuid}")
        memory = driver.nvmlDeviceGetMemoryInfo(handle)
        processes = tuple(sorted(process.pid for process in driver.nvmlDeviceGetComputeRunningProcesses(handle)))
    except driver.NVMLError as error:  # a part of a GPU (MIG), say
        logger.debug("%s: NVML says %s", name, error)
        return Gpu(name, properties.name)
    return Gpu(name, properties.name, memory.total / MIB, memory.used / MIB, processes)
