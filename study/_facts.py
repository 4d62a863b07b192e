"""The facts of a study's data, found once and stored with the study."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from objectives._class_weights import class_weights
from objectives._data import Dataset, check_finite, load_source
from objectives._float16 import with_float16
from objectives._source import EventSource
from objectives._statistics import statistics
from objectives._task import Task
from storage.errors import ConfigError, DataError
from study._plan import Plan
from study._plan_data import about_target

READ_WHOLE_BYTES = 8 * 2**30
SAMPLED_EVENTS = 8192


@dataclass(frozen=True)
class Facts:
    """What a study's data are; stored with the study, so that every host and every export agrees.

    Attributes:
        fingerprint: Tells whether another file holds the same events.
        shape: (C, H, W) of an event.
        axes: Order of the axes in the file.
        statistics: Of the training events, for normalisation.
        target: The task's summary of the targets.
        events: Number of events by part of the split.
        code: SHA-256 of the user's own files of families and tasks, by file name.
    """

    fingerprint: Mapping[str, Any]
    shape: tuple[int, int, int]
    axes: str
    statistics: Mapping[str, Any]
    target: Mapping[str, Any]
    events: Mapping[str, int]
    code: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return dataclasses.asdict(self) | {"shape": list(self.shape)}

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> "Facts":
        """The inverse of `to_json`; other keys are left alone."""
        known = {field.name: tree[field.name] for field in dataclasses.fields(cls)}
        channels, height, width = known["shape"]
        return cls(**{**known, "shape": (channels, height, width)})


def make_task(plan: Plan, facts: Facts) -> Task:
    """The task, fitted to the study's targets."""
    return plan.kind.create(plan.options, facts.target)


def gather_facts(plan: Plan, dataset: Dataset) -> Facts:
    """Look at the data once, when the study is created.

    Raises:
        ConfigError: The objective's options or the class weights do not suit the targets.
        DataError: The targets do not suit the task, or the data hold values that are not finite.
    """
    split = dataset.split
    with about_target(plan):
        target = plan.kind.summarise(
            plan.options, dataset.targets[dataset.used], dataset.targets[split.training], dataset.class_names
        )
        _check_training(plan, plan.kind.create(plan.options, target), dataset)
    check_finite(dataset.file, _worth_reading(dataset))
    source = load_source(dataset, split.training, cache="map")
    return Facts(
        fingerprint=dataset.fingerprint,
        shape=dataset.shape,
        axes=dataset.axes,
        statistics=statistics(_as_trained(plan, dataset, source), dataset.axes),
        target=target,
        events={"training": len(split.training), "validation": len(split.validation), "test": len(split.test)},
        code=code_of(plan),
    )


def _as_trained(plan: Plan, dataset: Dataset, source: EventSource) -> EventSource:
    try:
        return with_float16(source, dataset.axes, plan.config.data.float16_channels)
    except ValueError as error:
        raise ConfigError(f"data.{error}") from None


def code_of(plan: Plan) -> dict[str, str]:
    """SHA-256 of the user's own files of families and tasks, by file name."""
    specs = [*plan.space.families, plan.config.objective.name]
    paths = [plan.folder / spec.rpartition(":")[0] for spec in specs if ".py:" in spec]
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in paths}


def check_code(plan: Plan, facts: Facts) -> None:
    """Refuse a user's own file that is not the one the study was created with: its trials would not be comparable.

    Raises:
        ConfigError: It differs; the message names it.
    """
    found = code_of(plan)
    changed = [name for name in {**facts.code, **found} if facts.code.get(name) != found.get(name)]
    if changed:
        raise ConfigError(
            f"{', '.join(changed)} has changed since study {plan.config.name!r} was created; bring the old file back, "
            "or start a study of another name: studyhall launch … --set study.name=OTHER"
        )


def check_fingerprint(plan: Plan, facts: Facts, dataset: Dataset) -> None:
    """Refuse data, or a user's own code, that are not those the study was created with.

    Raises:
        DataError: The data differ; the message says in what.
        ConfigError: The code differs.
    """
    check_code(plan, facts)
    differing = [key for key, value in facts.fingerprint.items() if dataset.fingerprint.get(key) != value]
    if differing:
        raise DataError(
            f"{plan.data_path} is not the file that study {plan.config.name!r} was created with: "
            f"{', '.join(differing)} differ; give the same file, or start a study of another name"
        )


def _check_training(plan: Plan, task: Task, dataset: Dataset) -> None:
    """Find out before the first trial what would end every one."""
    split = dataset.split
    class_weights(plan.config.training.class_weights, task, task.encode(dataset.targets[split.training]))
    task.encode(dataset.targets[split.validation])
    guessed = [_guessed(task, dataset, spread) for spread in (0.0, 0.3)]
    for name in (objective.name for objective in plan.objectives if objective.name in task.metrics):
        if not any(np.isfinite(scores[name]) for scores in guessed):
            raise DataError(
                f"the metric {name} is undefined for the {len(split.validation)} validation events (too few, of one "
                "class, or with a value of 0); give a larger data.split.validation, or another study.metric"
            )


def _guessed(task: Task, dataset: Dataset, spread: float) -> dict[str, float]:
    """The metrics of a network without any knowledge, whose outputs scatter about 0."""
    raw = dataset.targets[dataset.split.validation]
    outputs = torch.randn(len(raw), task.outputs, generator=torch.Generator().manual_seed(0)) * spread
    return task.score(task.predict(outputs).numpy(), raw)


def _worth_reading(dataset: Dataset) -> NDArray[np.int64]:
    """Events that are looked at for values that are not finite: all, or a sample of a very large file."""
    used = dataset.used
    size = len(used) * int(np.prod(dataset.shape)) * dataset.file.dtype.itemsize
    if size <= READ_WHOLE_BYTES:
        return used
    return used[np.unique(np.linspace(0, len(used) - 1, SAMPLED_EVENTS).astype(np.int64))]
