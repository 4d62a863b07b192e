"""What a network is trained for: how targets become numbers, the loss, the predictions and their metrics.

A task is a plug-in: one file in this folder with `TASK = TaskKind(...)`. Making one takes two steps, so that an export
or a resumed trial needs no data: `summarise` reads the targets once and returns JSON, `create` makes the task from it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models._plugins import load_plugin, plugins

Direction = Literal["maximize", "minimize"]
Options = TypeVar("Options")
Raw = NDArray[Any]
"""A column of targets as read from a file: (N,) or (N, 1), any dtype."""


class Task(Protocol):
    """A task fitted to its data. It is immutable, holds no tensor, and every method may be called from any thread."""

    @property
    def outputs(self) -> int:
        """How many logits the network has."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names in the order of encoded indices; empty for a regression."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the K columns of predictions."""
        ...

    @property
    def metrics(self) -> Mapping[str, Direction]:
        """The names of all metrics and which way each is better."""
        ...

    @property
    def default_metric(self) -> str:
        """The metric a study optimises unless told otherwise."""
        ...

    def encode(self, raw: Raw) -> NDArray[Any]:
        """Return what the loss compares with: class indices int64 (N,), or float32 (N, 1).

        Raises:
            DataError: a value that this task has no place for.
        """
        ...

    def loss(
        self, outputs: Tensor, encoded: Tensor, weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Tensor:
        """Return each event's loss (B,), from logits (B, outputs) float32; `weights` (B,) multiply it.

        A regression ignores label smoothing.
        """
        ...

    def predict(self, outputs: Tensor) -> Tensor:
        """Return float64 (B, K): probabilities, or values in target units."""
        ...

    def score(self, predictions: NDArray[np.float64], raw: Raw) -> dict[str, float]:
        """Return every metric of predictions (N, K); one that is undefined for these events is NaN."""
        ...


@dataclass(frozen=True)
class TaskKind(Generic[Options]):
    """A kind of task.

    Attributes:
        name: what a study file calls it.
        options: a frozen dataclass whose fields all have defaults; a study file's `objective` may set them.
        stratified: whether splits keep the proportions of the target's values.
        classification: whether targets are classes.
        metrics: as `Task.metrics`, the same for every task of this kind.
        default_metric: as `Task.default_metric`.
        classes: (options, all targets, class names or None) to the label values whose events are used; None means all.
        summarise: (options, targets of all used events, targets of the training events, class names or None) to JSON
            from which the task is made again. It raises `DataError` if the task cannot be done with these targets.
        create: (options, that JSON) to the task.
    """

    name: str
    options: type[Options]
    stratified: bool
    classification: bool
    metrics: Mapping[str, Direction]
    default_metric: str
    classes: Callable[[Options, Raw, tuple[str, ...] | None], tuple[int, ...] | None]
    summarise: Callable[[Options, Raw, Raw, tuple[str, ...] | None], dict[str, Any]]
    create: Callable[[Options, Mapping[str, Any]], Task]

    def __post_init__(self) -> None:
        if not (self.name.isidentifier() and self.name == self.name.lower()):
            raise ValueError(f"the task's name is {self.name!r}; it must be lower-case letters, digits and _")
        if not is_dataclass(self.options):
            raise TypeError(f"the options of task {self.name!r} are {self.options!r}; they must be a dataclass")
        if self.default_metric not in self.metrics:
            raise ValueError(
                f"the default metric of task {self.name!r} is {self.default_metric!r}; "
                f"accepted are {', '.join(self.metrics)}"
            )


def everything(options: object, targets: Raw, class_names: tuple[str, ...] | None) -> None:
    """Select all events: `TaskKind.classes` of a task that leaves none out."""


def tasks() -> dict[str, TaskKind[Any]]:
    """Return the kinds of tasks that come with Studyhall, by name."""
    return plugins("objectives", "TASK")


def load_task(spec: str, *, folder: Path = Path(".")) -> TaskKind[Any]:
    """Load a kind of task by name, or a user's as `my_file.py:Name` or `package.module:Name`.

    Args:
        spec: which one.
        folder: what a file's path is relative to.

    Raises:
        ValueError: there is none, it is not a `TaskKind`, or it takes the name of another.
    """
    kind = load_plugin(spec, "objectives", "TASK", folder=folder)
    if not isinstance(kind, TaskKind):
        raise ValueError(f"{spec!r} is of type {type(kind).__name__}; it must be an objectives._task.TaskKind")
    known = tasks()
    if kind is not known.get(kind.name, kind):
        raise ValueError(f"{spec!r} is named {kind.name!r}, as is one of ours ({', '.join(known)}); rename it")
    return kind
