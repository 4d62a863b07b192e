"""Which of an agent's devices are out of service, and where a trial shall not be tried again."""

from collections import defaultdict
from collections.abc import Iterable

MOST_IN_A_ROW = 2
"""Different trials that fail by their device, with no success between them; then it is not the trials' fault."""


class Quarantine:
    """Judges devices by what their trials meet; knows nothing of workers.

    Attributes:
        causes: Why, for each device that is out of service.
    """

    def __init__(self, devices: Iterable[str]) -> None:
        self._devices = tuple(dict.fromkeys(devices))
        self.causes: dict[str, str] = {}
        self._in_a_row: dict[str, set[int]] = defaultdict(set)
        self._met: dict[str, set[int]] = defaultdict(set)

    @property
    def in_service(self) -> list[str]:
        """Devices that still work."""
        return [device for device in self._devices if device not in self.causes]

    def close(self, device: str, cause: str) -> None:
        """Take a device out of service; the first cause stays."""
        self.causes.setdefault(device, cause)

    def failed(self, device: str, trial: int, reason: str) -> str | None:
        """Note that a trial failed by its device; why the device must be closed, or None."""
        row = self._in_a_row[device]
        row.add(trial)
        self._met[device].add(trial)
        return f"{len(row)} trials in a row failed on it, the last by: {reason}" if len(row) >= MOST_IN_A_ROW else None

    def succeeded(self, device: str) -> None:
        """Note that a trial has come to its end on a device."""
        self._in_a_row[device].clear()

    def avoided(self, device: str) -> list[int]:
        """Trials that failed by this device and that another one of this agent may try."""
        others = [each for each in self.in_service if each != device]
        return sorted(trial for trial in self._met[device] if any(trial not in self._met[each] for each in others))
