"""Create or continue a study, start its agents, and follow it to its end."""

import contextlib
import enum
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from storage.database import Database
from study.launchers._launcher import AgentCommand, Launcher, Running
from study.plan import Plan
from study.stored import create_or_update, load_stored
from study.summary import Summary, summarise

FOLLOW_S = 1.0
"""Least seconds between two looks at the study."""
LOOK_SHARE = 20.0
"""Looking may take one part in so many of the time."""


class End(enum.Enum):
    """How a launch ended."""

    DONE = "done"  # the budget is used, every trial has its end
    LEFT = "left"  # the agents ended in good order, but the study has not: paused, stopped, or others work on it
    FAILED = "failed"  # an agent ended with an error
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Launched:
    """What a launch came to.

    Attributes:
        created: Whether the study is new.
        log: The agents' output.
    """

    end: End
    created: bool
    summary: Summary
    log: Path


class _Interrupts:
    """Counts Ctrl-C and SIGTERM instead of dying of them."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.count += 1


def launch(
    url: str,
    plan: Plan,
    launcher: Launcher,
    *,
    workers: int | None,
    devices: str | None,
    follow: Callable[[Summary], None],
) -> Launched:
    """Create the study, or continue it, and run it to its end.

    The first Ctrl-C hands running trials back; the second ends the agents at once. Either way another launch
    continues with exactly the missing trials.

    Args:
        follow: Called with the study's state about once a second.

    Raises:
        ConfigError: The study exists with another configuration.
        DataError: The data cannot be used.
        DatabaseError: The database cannot be reached.
    """
    created = create_or_update(url, plan)
    database = Database(url)
    try:
        stored = load_stored(database, plan.config.name)
        summary = summarise(database, stored)
        log = stored.files / "logs" / f"agent-{time.strftime('%Y%m%d-%H%M%S')}.log"
        if summary.done:
            follow(summary)
            return Launched(End.DONE, created, summary, log)
        with _counted_interrupts() as interrupts:
            agents = launcher.start(AgentCommand(plan.config.name, url, workers, devices, log))
            try:
                code = _follow(agents, interrupts, lambda: follow(summarise(database, stored)))
            finally:
                agents.kill()
        summary = summarise(database, load_stored(database, plan.config.name))
        follow(summary)
        return Launched(_end(code, interrupts.count, summary), created, summary, log)
    finally:
        database.close()


def _follow(agents: Running, interrupts: _Interrupts, look: Callable[[], None]) -> int:
    passed_on = 0
    while (code := agents.poll()) is None:
        if interrupts.count > passed_on:
            passed_on = interrupts.count
            agents.interrupt()
        began = time.monotonic()
        look()
        # A look at a large study costs much; it must not slow the trials down.
        time.sleep(max(FOLLOW_S, LOOK_SHARE * (time.monotonic() - began)))
    return code


def _end(code: int, interrupts: int, summary: Summary) -> End:
    if interrupts:
        return End.INTERRUPTED
    if code != 0:
        return End.FAILED
    return End.DONE if summary.done else End.LEFT


@contextlib.contextmanager
def _counted_interrupts() -> Iterator[_Interrupts]:
    interrupts = _Interrupts()
    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, interrupts) for number in numbers}
    try:
        yield interrupts
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
