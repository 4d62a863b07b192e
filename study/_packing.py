"""How many workers share one device: readings in, a number out."""

from collections.abc import Mapping
from dataclasses import dataclass

IDLE = 0.15
"""Share of the time that a device must have been idle for another worker to be of use."""
GAIN = 1.05
"""What another worker must do for the work that the device gets done, or it goes again."""
SPARE = 1.2
"""A worker's memory may grow by this with its next trial."""


@dataclass(frozen=True)
class Reading:
    """A device with all its workers in training.

    Attributes:
        rates: Events per second of each trial, by its token, in an epoch that all workers trained beside it.
        idle: Share of the time that the device did nothing; None where nothing tells, and then the gain alone decides.
        peak_bytes: The most memory that one of its workers has taken.
        room_bytes: What the device has for all its workers together.
    """

    rates: Mapping[str, float]
    idle: float | None
    peak_bytes: float
    room_bytes: float


class Packing:
    """The number of workers of one device.

    It grows by one while the device idles, memory suffices and the last one was of use; the first one that was not goes
    again, and that is the end of it. It falls whenever memory no longer suffices.

    Attributes:
        workers: How many there shall be, 1 or more.
    """

    def __init__(self, most: int, context_bytes: float = 0) -> None:
        """Begin with one worker.

        Args:
            most: Workers that there may be.
            context_bytes: What a worker takes beside what it says: on a GPU its CUDA context.
        """
        self.workers = 1
        self._most, self._context_bytes = max(1, most), context_bytes
        self._before: Mapping[str, float] = {}

    def look(self, reading: Reading) -> None:
        """Decide anew, by a reading with as many trials as there are workers."""
        before, self._before = self._before, {}
        if before and _gain(before, reading.rates) < GAIN:
            self._most = self.workers = self.workers - 1
        self.workers = max(1, min(self.workers, self._fitting(reading)))
        if len(reading.rates) == self.workers and self._may_grow(reading):
            self.workers += 1
            self._before = reading.rates

    def crowded(self) -> None:
        """A trial ran out of memory beside others: one worker less, for good."""
        self._most = self.workers = max(1, self.workers - 1)
        self._before = {}

    def _may_grow(self, reading: Reading) -> bool:
        enough = self.workers < min(self._most, self._fitting(reading))
        return enough and (reading.idle is None or reading.idle >= IDLE)

    def _fitting(self, reading: Reading) -> int:
        each = reading.peak_bytes * SPARE + self._context_bytes
        return int(reading.room_bytes / each) if each else self._most


def _gain(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """By what factor the device's work grew with its last worker.

    Trials are of different networks, so those count that trained before and after: the newcomer is taken to have been
    slowed down as they were. Where none is left, all events count alike.
    """
    both = before.keys() & after.keys()
    if not both:
        return sum(after.values()) / sum(before.values())
    slowed = sum(after[token] for token in both) / sum(before[token] for token in both)
    return slowed * len(after) / len(before)
