"""What an agent and its workers say to each other through a pipe; an epoch's message is its `EpochResult`."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

WEIGHTS = "best.safetensors"
"""The file of a trial's best weights, which its worker leaves in the attempt's folder."""


ORPHANED = 76
"""Exit status of a worker whose holder has ended; Python itself has no use for it."""


@dataclass(frozen=True)
class TrialJob:
    """One attempt at a trial.

    Attributes:
        sampled: The sampled hyperparameters by name.
        folder: The attempt's own, for its weights and checkpoints.
        resume: A checkpoint to go on from, or None.
        attempt: Its number.
        token: The attempt's.
        artifacts: The folder for what people see of the trial; empty for none.
        admit: Whether a network that breaks the study's constraints is refused.
    """

    number: int
    sampled: Mapping[str, Any]
    folder: str
    resume: str | None
    attempt: int = 1
    token: str = ""
    artifacts: str = ""
    admit: bool = True


@dataclass(frozen=True)
class Begun:
    """The job has arrived: what ends the worker from now on is the trial's fault."""


@dataclass(frozen=True)
class Progress:
    """Batches are being trained; said when nothing else was for some time."""


@dataclass(frozen=True)
class Peak:
    """The worker has taken more of its device's memory than ever before: so many bytes. For ``per_device: auto``."""

    taken: int


PROGRESS_S = 5.0
"""Often enough for any sensible limit, and no cost."""


def progress_s(stall_s: float | None) -> float:
    """Seconds after which a worker that trains says so.

    Args:
        stall_s: Silence after which its agent gives it up, or None.
    """
    return PROGRESS_S if stall_s is None else min(PROGRESS_S, stall_s / 4)


class Order(enum.Enum):
    """An agent's answer to an epoch, or its word at any time."""

    CONTINUE = "continue"  # train the next epoch
    PRUNE = "prune"  # end here; the values so far stand
    PAUSE = "pause"  # as PRUNE, but leave a checkpoint: the trial may go on later
    HAND_BACK = "hand back"  # stop at the next batch, the trial goes on elsewhere


@dataclass(frozen=True)
class Done:
    """A trial has ended, by itself or pruned.

    Attributes:
        values: The study's objectives at the best epoch; finite.
        attributes: User attributes of the trial.
        constraints: Of the trial's network, as `storage.endings.Ending` has them.
        carries: Whether the worker has written the trial's artifacts.
        checkpoint: The file of its state, if it was paused.
    """

    values: tuple[float, ...]
    pruned: bool
    attributes: Mapping[str, Any]
    constraints: Mapping[str, float] = field(default_factory=dict[str, float])
    carries: bool = False
    checkpoint: str | None = None


@dataclass(frozen=True)
class Failed:
    """A trial could not be finished.

    Attributes:
        failure: Its class: ``oom``, ``nan``, ``duplicate``, ``infeasible``, ``data``, ``device`` or ``error``.
        reason: One line.
        details: The traceback, or the reason again.
        broken: Whether the worker cannot train another trial.
        device_lost: Whether its device is out of order.
        attributes: User attributes of the trial.
        constraints: As those of `Done`; empty if its network was not made.
        carries: As that of `Done`.
    """

    failure: str
    reason: str
    details: str
    broken: bool = False
    device_lost: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    constraints: Mapping[str, float] = field(default_factory=dict[str, float])
    carries: bool = False


@dataclass(frozen=True)
class Ready:
    """A worker's first message.

    Attributes:
        warm: What was in place before the fork; empty means that the preload did not run.
        error: Why no worker can work, or None.
        fault: Why the worker's device cannot be used, or None.
        residence: Where its events are, for its agent's log; empty where there is nothing to say.
    """

    pid: int
    warm: tuple[str, ...]
    error: str | None
    fault: Failed | None = None
    residence: str = ""


@dataclass(frozen=True)
class Checkpointed:
    """The training's state is in a file, which the next attempt may go on from."""

    place: str


@dataclass(frozen=True)
class HandedBack:
    """The trial was dropped as ordered.

    Attributes:
        checkpoint: The file of its state, or None if there is none.
    """

    checkpoint: str | None


PRUNED_FAILURES = ("oom", "nan", "duplicate", "infeasible")
"""Told as PRUNED: samplers learn from such trials and ignore failed ones."""


def state_name(message: Done | Failed) -> str:
    """What becomes of the trial, as people see it."""
    if isinstance(message, Done):
        return "PRUNED" if message.pruned else "COMPLETE"
    return f"{'PRUNED' if message.failure in PRUNED_FAILURES else 'FAIL'} ({message.failure})"
