"""What a study optimises: metrics of its task, and what a network costs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from objectives._task import Direction, TaskKind
from storage.errors import ConfigError

COSTS: Mapping[str, Direction] = {"parameters": "minimize", "latency_ms": "minimize", "seconds": "minimize"}
"""Weights of the network; milliseconds of one event's forward pass; seconds of the trial's training."""


@dataclass(frozen=True)
class Objective:
    """One of the quantities that a study optimises.

    Attributes:
        name: A metric of the task, or one of `COSTS`; the trial's attribute of that name holds the value.
        direction: Which way it is better.
    """

    name: str
    direction: Direction

    def __str__(self) -> str:
        return f"{self.name} ({self.direction})"


def find_objectives(names: Sequence[str], kind: TaskKind[Any], key: str) -> tuple[Objective, ...]:
    """The objectives of these names, in their order.

    Args:
        names: At least one.
        kind: The study's kind of task.
        key: The study file's key that gives them, for messages.

    Raises:
        ConfigError: One is unknown or given twice, or the first is a cost: by the first a trial's best epoch is chosen.
    """
    known: dict[str, Direction] = {**(COSTS if len(names) > 1 else {}), **kind.metrics}
    for name in names:
        if name not in known:
            raise ConfigError(f"{key} is {name}; {hint(name, known)}Objective {kind.name} has: {', '.join(known)}")
    if len(set(names)) < len(names):
        raise ConfigError(f"{key} is {', '.join(names)}; give each once")
    if names[0] not in kind.metrics:
        raise ConfigError(
            f"{key} begins with {names[0]}, which is the same after each epoch; begin with the metric that chooses a "
            f"trial's best epoch: {', '.join(kind.metrics)}"
        )
    return tuple(Objective(name, known[name]) for name in names)


def hint(given: str, known: Iterable[str]) -> str:
    """The name that may have been meant, as the beginning of a sentence."""
    near = get_close_matches(given, [*known], n=1)
    return f"did you mean {near[0]}? " if near else ""
