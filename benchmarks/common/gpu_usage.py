"""How busy a GPU is while something runs, as NVIDIA's driver counts it."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import mean

import torch

EVERY_S = 0.1


@dataclass
class Used:
    """Readings of one stretch of time.

    Attributes:
        percents: of the time in which a kernel ran.
        watts: drawn.
    """

    percents: list[float] = field(default_factory=list)
    watts: list[float] = field(default_factory=list)

    @property
    def percent(self) -> float:
        """Mean utilisation; NaN where nothing was read."""
        return mean(self.percents) if self.percents else float("nan")

    def words(self) -> str:
        """For the table."""
        if not self.percents:
            return "GPU not read"
        return f"GPU {self.percent:.0f} %" + (f", {mean(self.watts):.0f} W" if self.watts else "")


class Usage:
    """Reads one GPU ten times a second; on a CPU it reads nothing."""

    def __init__(self, device: torch.device) -> None:
        self._handle = None
        if device.type != "cuda":
            return
        import pynvml

        self._driver = pynvml
        pynvml.nvmlInit()
        uuid = torch.cuda.get_device_properties(device).uuid
        with contextlib.suppress(pynvml.NVMLError):  # a part of a GPU (MIG) has another name, and tells nothing
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")

    @contextlib.contextmanager
    def measured(self) -> Iterator[Used]:
        """What is used while the context lasts."""
        used, ended = Used(), threading.Event()
        thread = threading.Thread(target=self._read, args=(used, ended), daemon=True)
        thread.start()
        try:
            yield used
        finally:
            ended.set()
            thread.join()

    def _read(self, used: Used, ended: threading.Event) -> None:
        while self._handle is not None and not ended.wait(EVERY_S):
            with contextlib.suppress(self._driver.NVMLError):  # not every GPU tells both
                used.percents.append(float(self._driver.nvmlDeviceGetUtilizationRates(self._handle).gpu))
                used.watts.append(self._driver.nvmlDeviceGetPowerUsage(self._handle) / 1000)
