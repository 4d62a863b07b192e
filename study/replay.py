"""Recorded learning curves under another pruner: an event-driven simulation, without database or training.

Trials are taken in the order in which they began, each by the first slot that is free; an epoch ends as long after the
one before as it was recorded to take, and after each the pruner decides with what the simulated search has reported by
then. A trial that it stops frees its slot at once. What a search would have proposed instead is not simulated: the
trials are the recorded ones.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from objectives._task import Direction

TOPS = (5, 10)
"""Of so many of the best trials it is told how many survive."""


class End(StrEnum):
    """How a recorded trial ended."""

    COMPLETE = "complete"
    STOPPED = "stopped"  # by the pruner of its study: nobody knows how its curve goes on
    FAILED = "failed"  # by itself, whatever the pruner
    OPEN = "open"  # it has not ended yet


@dataclass(frozen=True)
class Course:
    """One trial as it was recorded.

    Attributes:
        values: The metric after each epoch, from epoch 1.
        seconds: Each of these epochs took, positive or 0.
        ahead_s: What it took beside its epochs, which is counted before the first.
        value: Its final one, of a complete trial.
        lot: Its id, by which lots between equal values are drawn; None means its number.
    """

    number: int
    values: Sequence[float]
    seconds: Sequence[float]
    ahead_s: float
    end: End
    value: float | None = None
    lot: int | None = None

    def __post_init__(self) -> None:
        if len(self.seconds) != len(self.values):
            raise ValueError(f"trial {self.number}: {len(self.values)} epochs, but {len(self.seconds)} times of epochs")
        if self.end is End.COMPLETE and self.value is None:
            raise ValueError(f"trial {self.number} is complete and has no value")

    def seconds_until(self, epochs: int) -> float:
        """Seconds of its device until so many epochs are done."""
        return self.ahead_s + math.fsum(self.seconds[:epochs])


class Decider(Protocol):
    """A pruner, which sees the simulated search as it goes on."""

    def begin(self, course: Course) -> None:
        """A trial begins."""
        ...

    def stops(self, course: Course, epoch: int) -> bool:
        """Take note of an epoch; whether the trial ends after it."""
        ...

    def end(self, course: Course, epochs: int, *, stopped: bool) -> None:
        """A trial has ended, after so many epochs."""
        ...


@dataclass(frozen=True)
class Replay:
    """What became of the trials.

    Attributes:
        trained: Epochs by trial.
        stopped: Trials that the pruner stopped.
        censored: Trials that it would have let go on where their record ends: stopped by the pruner of their study, or
            not over yet. They count with what is recorded, so that the epochs are a lower bound.
        device_s: Seconds of all devices.
        wall_s: From the first begin to the last end, without pauses.
    """

    trained: Mapping[int, int]
    stopped: frozenset[int]
    censored: frozenset[int]
    device_s: float
    wall_s: float

    @property
    def epochs(self) -> int:
        """Trained together."""
        return sum(self.trained.values())


def replay(courses: Sequence[Course], decider: Decider, *, slots: int, epochs: int) -> Replay:
    """Run the courses through the pruner.

    Args:
        courses: In the order in which they began.
        decider: It must be fresh.
        slots: Trials that run at the same time, from 1.
        epochs: That a trial has at most; after the last one no pruner is asked.

    Returns:
        The same whenever it is called with the same: of two events at the same time that of the earlier trial is first.
    """
    if slots < 1:
        raise ValueError(f"a search needs at least one slot, not {slots}")
    run = _Run(courses, decider, epochs)
    for _ in range(min(slots, len(courses))):
        run.take(0.0)
    while run.advance():
        pass
    return run.result()


class _Run:
    """The events to come: for each trial in a slot, its next epoch's end."""

    def __init__(self, courses: Sequence[Course], decider: Decider, epochs: int) -> None:
        self._courses, self._decider, self._epochs = courses, decider, epochs
        self._events: list[tuple[float, int, int]] = []  # time, place among the courses, epoch
        self._next = 0
        self._trained: dict[int, int] = {}
        self._stopped: set[int] = set()
        self._device_s = self._wall_s = 0.0

    def take(self, now: float) -> None:
        """A free slot takes the next trial."""
        if self._next == len(self._courses):
            return
        place, course = self._next, self._courses[self._next]
        self._next += 1
        self._decider.begin(course)
        heapq.heappush(self._events, (now + course.seconds_until(1), place, 1))

    def advance(self) -> bool:
        """The next event; whether there was one."""
        if not self._events:
            return False
        now, place, epoch = heapq.heappop(self._events)
        course = self._courses[place]
        recorded = len(course.values)
        stopped = epoch <= recorded and self._report(course, epoch)
        if stopped or epoch >= recorded:
            self._end(course, min(epoch, recorded), now, stopped=stopped)
            self.take(now)
        else:
            heapq.heappush(self._events, (now + course.seconds[epoch], place, epoch + 1))
        return True

    def _report(self, course: Course, epoch: int) -> bool:
        stops = self._decider.stops(course, epoch)
        return stops and epoch < self._epochs

    def _end(self, course: Course, trained: int, now: float, *, stopped: bool) -> None:
        self._decider.end(course, trained, stopped=stopped)
        self._trained[course.number] = trained
        if stopped:
            self._stopped.add(course.number)
        self._device_s += course.seconds_until(trained)
        self._wall_s = max(self._wall_s, now)

    def result(self) -> Replay:
        """After the last event."""
        cut = {course.number for course in self._courses if course.end in (End.STOPPED, End.OPEN)}
        return Replay(
            self._trained, frozenset(self._stopped), frozenset(cut - self._stopped), self._device_s, self._wall_s
        )


@dataclass(frozen=True)
class Verdict:
    """What the pruner did to the result.

    Attributes:
        winner: The best of the recorded complete trials.
        survives: Whether it was not stopped.
        best: The best complete trial that was not stopped, or None.
        value: Its value, or None.
        rank: Its place among the recorded complete trials, from 1, or None.
        regret: By how much its value is worse than the winner's, or None.
        tops: How many of the best 5, 10, … complete trials survive, by that number; fewer where there are fewer.
    """

    winner: int
    survives: bool
    best: int | None
    value: float | None
    rank: int | None
    regret: float | None
    tops: Mapping[int, int]


def judge(courses: Sequence[Course], stopped: frozenset[int], direction: Direction) -> Verdict | None:
    """What stopping these trials does to the result; None without a complete trial that has a finite value."""
    ranking = _ranking(courses, direction)
    if not ranking:
        return None
    left = [number for number in ranking if number not in stopped]
    values = {course.number: course.value for course in courses}
    winner, best = ranking[0], left[0] if left else None
    value, most = (None if best is None else values[best]), values[winner]
    return Verdict(
        winner=winner,
        survives=winner not in stopped,
        best=best,
        value=value,
        rank=None if best is None else ranking.index(best) + 1,
        regret=None if value is None or most is None else abs(value - most),
        tops={top: sum(number not in stopped for number in ranking[:top]) for top in TOPS},
    )


def _ranking(courses: Sequence[Course], direction: Direction) -> list[int]:
    """Numbers of the complete trials, best first; of equals the earlier."""
    sign = -1 if direction == "maximize" else 1
    known = [
        (sign * course.value, course.number)
        for course in courses
        if course.end is End.COMPLETE and course.value is not None and math.isfinite(course.value)
    ]
    return [number for _, number in sorted(known)]
