"""Which faults a drill makes, and where."""

import enum
import random
from collections.abc import Sequence
from dataclasses import dataclass

from storage._failpoints import AFTER, BEFORE, STEPS, WRITTEN


class Kind(enum.StrEnum):
    """What is done to a process at a point."""

    KILL = "kill -9"  # the agent, and its workers die with it
    FREEZE = "freeze"  # the agent, for longer than its lease; a worker that stands at the point as well
    KILL_WORKER = "kill -9 the worker"
    FREEZE_WORKER = "freeze the worker"  # for longer than a lease
    CUT = "cut the connection"
    MUTE = "swallow the answer"  # of the COMMIT: nobody knows whether it took place
    DELAY = "delay the answer"  # for longer than the lease
    LOCK = "hold the lock"  # of an SQLite file, for longer than the lease
    RESTART = "restart the server"


@dataclass(frozen=True)
class Point:
    """A named point: a step of a trial's life, and before or after what."""

    step: str
    when: str

    def __str__(self) -> str:
        return f"{self.step}, {self.when}"


POINTS = (*(Point(step, when) for step in STEPS for when in (BEFORE, AFTER)), Point("checkpoint", WRITTEN))
SERVER = Point("server", "in use")
"""Where a restart of the server strikes: at no agent's point, but while attempts run."""


@dataclass(frozen=True)
class Fault:
    """One fault to make."""

    point: Point
    kind: Kind


def plan_faults(count: int, seed: int, *, server: bool) -> list[Fault]:
    """A drill's faults: each point in turn with the kinds that matter most there, then any.

    Args:
        count: Of faults; three per point, 33 in all, are the least that strike every point three times.
        seed: Of what is left to chance.
        server: Whether a relay stands before a database server; else the database is an SQLite file.
    """
    chance = random.Random(seed)
    rounds = [
        [Fault(point, _main_kinds(point, server)[(turn + place) % 3]) for place, point in enumerate(POINTS)]
        for turn in range(3)
    ]
    for faults in rounds:
        chance.shuffle(faults)
    planned = [fault for faults in rounds for fault in faults]
    while len(planned) < count:
        point = chance.choice(POINTS)
        planned.append(Fault(point, chance.choice(_kinds(point, server))))
    return planned[:count]


def plan_sleepers(count: int, seed: int) -> list[Fault]:
    """Faults that do harm where attempts are not fenced: a process sleeps until it has lost its trial, and wakes."""
    chance = random.Random(seed)
    return [Fault(Point(chance.choice(("claim", "sample", "epoch")), AFTER), Kind.FREEZE) for _ in range(count)]


def _main_kinds(point: Point, server: bool) -> Sequence[Kind]:
    if point.when == WRITTEN:
        return (Kind.FREEZE, Kind.KILL, Kind.KILL_WORKER)
    if server:
        return (Kind.FREEZE, Kind.KILL, Kind.MUTE if point.when == BEFORE else Kind.CUT)
    return (Kind.FREEZE, Kind.KILL, Kind.FREEZE_WORKER if point.when == BEFORE else Kind.LOCK)


def _kinds(point: Point, server: bool) -> list[Kind]:
    kinds = {*_main_kinds(point, server), Kind.KILL_WORKER, Kind.FREEZE_WORKER}
    if server and point.when != WRITTEN:
        kinds |= {Kind.CUT, Kind.DELAY}
    return sorted(kinds)
