"""Create or continue a study, start its agents, and follow it to its end."""

import enum
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from storage.database import Database
from storage.errors import DatabaseError
from storage.trials import PATIENCE_S
from study._signals import ENDING, handled
from study.launchers._agent_process import TOLD_TO_END
from study.launchers._launcher import AgentOrder, Launcher, Running
from study.plan import Plan
from study.stored import StoredStudy, create_or_update, load_stored
from study.summary import Summary
from study.warm_start import Source
from study.watching import Study, pause_s

logger = logging.getLogger(__name__)

POLL_S = 0.1
"""Seconds between two looks whether the agents still run and nobody has pressed Ctrl-C."""
FOLLOW_S = 1.0
"""Least seconds between two looks at the study."""
GRACE_S = 20.0
"""For the agents to end in good order when following them has failed."""


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
        log: An agent's output, of one that failed if one has; None when the study was done already.
        status: The agents' exit status.
    """

    end: End
    created: bool
    summary: Summary
    log: Path | None = None
    status: int = 0


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
    wanted: AgentOrder,
    *,
    follow: Callable[[Summary], None],
    source: Source | None = None,
    tell: Callable[[str], None] = logger.info,
) -> Launched:
    """Create the study, or continue it, and run it to its end.

    The first Ctrl-C hands running trials back; the second ends the agents at once. Either way another launch
    continues with exactly the missing trials.

    Args:
        wanted: The agents; where their logs go is the study's to say.
        follow: Called with the study's state about once a second.
        source, tell: As `create_or_update`.

    Raises:
        ConfigError: The study exists with another configuration, or there is no such device.
        DataError: The data cannot be used.
        DatabaseError: The database cannot be reached.
    """
    launcher.preview(wanted)
    return run_study(url, create_or_update(url, plan, source=source, tell=tell), launcher, wanted, follow=follow)


def run_study(
    url: str, created: bool, launcher: Launcher, wanted: AgentOrder, *, follow: Callable[[Summary], None]
) -> Launched:
    """Run a study that exists to its end, as `launch` does.

    Args:
        created: Whether it is new.
        wanted, follow: As those of `launch`.

    Raises:
        ConfigError: There is no such device.
        DatabaseError: The database cannot be reached.
    """
    database = Database(url)
    try:
        stored = load_stored(database, wanted.study)
        study = Study(database, wanted.study)
        summary = study.look()
        follow(summary)
        if summary.done:
            return Launched(End.DONE, created, summary)
        interrupts = _Interrupts()
        with handled(ENDING, interrupts):
            agents = launcher.start(replace(wanted, logs=logs_folder(stored)))
            try:
                status = _follow(agents, interrupts, lambda: follow(study.look()))
            finally:
                _end_agents(agents)
        database.patience_s = PATIENCE_S
        summary = study.look()
        follow(summary)
        return Launched(_end(status, interrupts.count, summary), created, summary, agents.log, status)
    finally:
        database.close()


def logs_folder(stored: StoredStudy) -> Path:
    """Where the agents of a study log."""
    return stored.artifacts / "logs"


def order_of(
    url: str,
    plan: Plan,
    *,
    workers: int | None,
    devices: str | None = None,
    use_busy: bool = False,
    gpus_per_agent: int = 1,
    options: Mapping[str, str] | None = None,
) -> AgentOrder:
    """The agents that are wanted for a study.

    Args:
        workers: Trials at a time; None means one per device slot.
        devices: Overrides the study's ``workers.devices``.
        use_busy, gpus_per_agent, options: As `AgentOrder`.
    """
    study = plan.config.workers
    return AgentOrder(
        study=plan.config.name,
        storage=url,
        logs=Path(),
        workers=workers,
        devices=devices or study.devices,
        per_device=study.per_device,
        use_busy=use_busy,
        gpus_per_agent=gpus_per_agent,
        options=options or {},
    )


def _follow(agents: Running, interrupts: _Interrupts, look: Callable[[], None]) -> int:
    passed_on, look_at = 0, time.monotonic() + FOLLOW_S
    while (status := agents.poll()) is None:
        if interrupts.count > passed_on:
            passed_on += 1
            agents.interrupt()
        began = time.monotonic()
        if began >= look_at:
            _try(look)
            look_at = began + pause_s(time.monotonic() - began, FOLLOW_S)
        time.sleep(POLL_S)
    return status


def _try(look: Callable[[], None]) -> None:
    try:
        look()
    except DatabaseError as error:  # the agents decide whether they can go on
        logger.debug("the study could not be looked at: %s", error)


def _end_agents(agents: Running) -> None:
    """Leave nothing behind; agents that still run may hand their trials back first."""
    end = time.monotonic() + GRACE_S
    if agents.poll() is None:
        agents.interrupt()
    while agents.poll() is None and time.monotonic() < end:
        time.sleep(POLL_S)
    agents.kill()


def _end(status: int, interrupts: int, summary: Summary) -> End:
    if status == 0 and summary.done:
        return End.DONE
    if interrupts or status == TOLD_TO_END:
        return End.INTERRUPTED
    return End.FAILED if status != 0 else End.LEFT
