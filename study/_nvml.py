"""NVIDIA's management library: the one place that calls it; it makes no CUDA context."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from study._visible_gpus import places_of

logger = logging.getLogger(__name__)

MIB = 2**20
PCI_BUS_ID = "PCI_BUS_ID"
"""The value of ``CUDA_DEVICE_ORDER`` with which CUDA counts GPUs as this library does."""


class NvmlMissing(Exception):
    """The library is not there or does not answer; the message says why."""


@dataclass(frozen=True)
class Reading:
    """What the driver tells of a GPU now; None where it does not, as of a part of one (MIG).

    Attributes:
        total_mb, used_mb: Memory in MiB.
        processes: Ids of the processes that compute on it.
        utilisation: Percent of the last second or less in which a kernel ran.
        power_w: Watts.
        temperature_c: Degrees Celsius.
        ecc_errors: Uncorrectable errors of its memory since the driver was loaded.
        fault: Why it is out of order, or None.
    """

    total_mb: float | None = None
    used_mb: float | None = None
    processes: tuple[int, ...] = ()
    utilisation: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    ecc_errors: int | None = None
    fault: str | None = None


class Nvml:
    """A session with the library, for one thread; `nvml` opens it.

    Attributes:
        models: Name of each GPU that this process may use, such as ``NVIDIA H100 80GB HBM3``; first ``cuda:0``.
    """

    def __init__(self, library: Any) -> None:
        self._library = library
        self._handles = self._visible()
        self.models = [str(self._told(library.nvmlDeviceGetName, handle) or "GPU") for handle in self._handles]
        order = os.environ.get("CUDA_DEVICE_ORDER", PCI_BUS_ID)
        if order != PCI_BUS_ID and len(set(self.models)) > 1:
            logger.warning("CUDA_DEVICE_ORDER is %s: what is told of one GPU may be true of another", order)

    @property
    def cuda_version(self) -> int | None:
        """The newest major version of CUDA that the driver knows."""
        version = self._told(self._library.nvmlSystemGetCudaDriverVersion_v2)
        return None if version is None else int(version) // 1000

    def read(self, index: int) -> Reading:
        """The GPU that torch calls ``cuda:index``."""
        library, handle = self._library, self._handles[index]
        fault = self._fault(handle)
        if fault is not None:
            return Reading(fault=fault)
        memory = self._told(library.nvmlDeviceGetMemoryInfo, handle)
        rates = self._told(library.nvmlDeviceGetUtilizationRates, handle)
        power_mw = self._told(library.nvmlDeviceGetPowerUsage, handle)
        running = self._told(library.nvmlDeviceGetComputeRunningProcesses, handle) or ()
        uncorrected = (library.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, library.NVML_VOLATILE_ECC)
        return Reading(
            total_mb=None if memory is None else memory.total / MIB,
            used_mb=None if memory is None else memory.used / MIB,
            processes=tuple(sorted(process.pid for process in running)),
            utilisation=None if rates is None else float(rates.gpu),
            power_w=None if power_mw is None else power_mw / 1000,
            temperature_c=self._told(library.nvmlDeviceGetTemperature, handle, library.NVML_TEMPERATURE_GPU),
            ecc_errors=self._told(library.nvmlDeviceGetTotalEccErrors, handle, *uncorrected),
        )

    def _visible(self) -> list[Any]:
        """Handles of the GPUs that this process may use, in the order of CUDA."""
        variable = os.environ.get("CUDA_VISIBLE_DEVICES")
        if variable is not None and variable.startswith("MIG-"):
            part = self._told(self._library.nvmlDeviceGetHandleByUUID, variable.split(",")[0])
            return [] if part is None else [part]
        every = [self._told(self._library.nvmlDeviceGetHandleByIndex, index) for index in range(self._count())]
        usable = [handle for handle in every if handle is not None]
        uuids = [str(self._told(self._library.nvmlDeviceGetUUID, handle)) for handle in usable]
        whole = [usable[place] for place in places_of(variable, uuids)]
        parts = [part for handle in whole for part in self._parts(handle)]
        return parts[:1] or whole  # CUDA shows a process one part of a GPU, and no whole one beside it

    def _count(self) -> int:
        return int(self._told(self._library.nvmlDeviceGetCount) or 0)

    def _parts(self, handle: Any) -> Iterator[Any]:
        """The parts (MIG) into which a GPU is divided; of one that is not divided, none."""
        for index in range(int(self._told(self._library.nvmlDeviceGetMaxMigDeviceCount, handle) or 0)):
            part = self._told(self._library.nvmlDeviceGetMigDeviceHandleByIndex, handle, index)
            if part is not None:
                yield part

    def _fault(self, handle: Any) -> str | None:
        library = self._library
        try:
            library.nvmlDeviceGetMemoryInfo(handle)
        except library.NVMLError as error:
            if error.value in (library.NVML_ERROR_GPU_IS_LOST, library.NVML_ERROR_RESET_REQUIRED):
                return str(error)
        return None

    def _told(self, ask: Callable[..., Any], *arguments: Any) -> Any:
        """The answer to a question; None where this GPU or this driver has none."""
        try:
            return ask(*arguments)
        except self._library.NVMLError as error:
            logger.debug("NVML: %s: %s", getattr(ask, "__name__", ask), error)
            return None


@contextlib.contextmanager
def nvml() -> Iterator[Nvml]:
    """A session with the library.

    Raises:
        NvmlMissing: As said.
    """
    import pynvml  # the package nvidia-ml-py

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NvmlMissing(str(error)) from None
    try:
        yield Nvml(pynvml)
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()
