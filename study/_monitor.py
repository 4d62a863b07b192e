"""An agent's GPUs, read now and then."""

import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from study._nvml import Nvml, NvmlMissing, Reading, nvml

READ_S = 2.0
"""Seconds between two readings."""
SMOOTHED = 15
"""Readings whose utilisation is averaged: one tells of less than a second."""
END_S = 1.0
"""Seconds that its thread gets to end: one that waits for the driver is left behind."""
STALE_S = 60.0
"""After which a reading tells nothing any more."""


class Monitor:
    """Reads GPUs in a thread of its own: the driver may take minutes to answer when one is out of order.

    On devices that are no GPUs, and where NVML is missing, there is nothing to tell. Use as a context manager.
    """

    def __init__(self, devices: Iterable[str], read_s: float = READ_S) -> None:
        """Prepare; nothing is read before it is entered.

        Args:
            devices: Torch's names; those of GPUs count.
            read_s: Seconds between two readings.
        """
        gpus = sorted({device for device in devices if device.startswith("cuda:")})
        self._indices = {device: int(device.partition(":")[2]) for device in gpus}
        self._read_s = read_s
        self._kept: dict[str, deque[Reading]] = {device: deque(maxlen=SMOOTHED) for device in gpus}
        self._faults: dict[str, str] = {}
        self._read_at = -float("inf")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nvml", daemon=True)

    def __enter__(self) -> "Monitor":
        if self._indices:
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        if self._indices:
            self._thread.join(END_S)

    def reading(self, device: str) -> Reading:
        """The last reading of a device, its utilisation averaged over the last ones; empty where there is none."""
        kept = list(self._kept.get(device, ()))
        if not kept or time.monotonic() - self._read_at > STALE_S:
            return Reading()
        known = [each.utilisation for each in kept if each.utilisation is not None]
        return replace(kept[-1], utilisation=sum(known) / len(known) if known else None)

    def faults(self) -> dict[str, str]:
        """Why devices are out of order, by name; those that are not are left out."""
        return dict(self._faults)

    def _run(self) -> None:
        try:
            with nvml() as session:
                first = {device: session.read(index).ecc_errors for device, index in self._indices.items()}
                while not self._ended.is_set():
                    self._read(session, first)
                    self._ended.wait(self._read_s)
        except NvmlMissing:  # said when the GPUs were looked up
            return

    def _read(self, session: Nvml, first: dict[str, int | None]) -> None:
        for device, index in self._indices.items():
            reading = session.read(index)
            before, now = first[device], reading.ecc_errors
            new = 0 if before is None or now is None else now - before
            fault = reading.fault or (f"uncorrectable ECC errors of its memory: {new}" if new > 0 else None)
            if fault is not None:
                self._faults[device] = fault
            self._kept[device].append(reading)
        self._read_at = time.monotonic()
