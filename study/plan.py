"""What a study's configuration means: its task, families, space and metric, and the facts of its data."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models._family import families, load_family
from objectives._data import Dataset, DataSettings, check_finite, load_source, open_dataset
from objectives._split import Selection
from objectives._statistics import statistics
from objectives._task import Direction, Task, TaskKind, load_task
from storage.errors import ConfigError, DataError
from storage.hdf5 import EventFile, Layout
from study.config import StudyConfig
from study.search import make_pruner, make_sampler
from study.space import Space, build_space, chosen_models

READ_WHOLE_BYTES = 8 * 2**30
SAMPLED_EVENTS = 8192


@dataclass(frozen=True)
class Plan:
    """A configuration with its names looked up.

    Attributes:
        folder: What the configuration's relative paths refer to.
        kind: The kind of task.
        options: The task's options, an instance of ``kind.options``.
    """

    config: StudyConfig
    folder: Path
    kind: TaskKind[Any]
    options: Any
    space: Space
    metric: str
    direction: Direction

    @property
    def data_path(self) -> Path:
        """The data file, absolute."""
        return self.folder / Path(self.config.data.path).expanduser()


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
    """

    fingerprint: Mapping[str, Any]
    shape: tuple[int, int, int]
    axes: str
    statistics: Mapping[str, Any]
    target: Mapping[str, Any]
    events: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return dataclasses.asdict(self) | {"shape": list(self.shape)}

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> "Facts":
        """The inverse of `to_json`; other keys are left alone."""
        known = {field.name: tree[field.name] for field in dataclasses.fields(cls)}
        channels, height, width = known["shape"]
        return cls(**{**known, "shape": (channels, height, width)})


def build_plan(config: StudyConfig, folder: Path) -> Plan:
    """Look up every name in the configuration.

    Raises:
        ConfigError: A task, metric, family, hyperparameter, sampler or pruner is unknown or does not fit.
    """
    kind = _looked_up("objective", lambda: load_task(config.objective.name, folder=folder))
    names = chosen_models(config.space, list(families()))
    chosen = {name: _looked_up("space.model", lambda name=name: load_family(name, folder=folder)) for name in names}
    metric = config.study.metric or kind.default_metric
    for key, given in [("study.metric", metric), *(("budget.until", name) for name in config.budget.until or {})]:
        if given not in kind.metrics:
            raise ConfigError(f"{key} is {given!r}; objective {kind.name!r} has: {', '.join(kind.metrics)}")
    make_sampler(config, 0)
    make_pruner(config)
    return Plan(
        config, folder, kind, _options(config, kind), build_space(config.space, chosen), metric, kind.metrics[metric]
    )


def make_task(plan: Plan, facts: Facts) -> Task:
    """The task, fitted to the study's targets."""
    return plan.kind.create(plan.options, facts.target)


def open_data(plan: Plan) -> Dataset:
    """The study's events: opened, selected and split.

    Raises:
        DataError: The file, its layout, its targets or its split cannot be used.
    """
    data = plan.config.data
    layout = layout_of(plan)
    file = EventFile.open(plan.data_path, layout)
    classes = plan.kind.classes(plan.options, file.column(data.target), file.class_names)
    settings = DataSettings(
        path=plan.data_path,
        layout=layout,
        validation=data.split.validation,
        test=data.split.test,
        seed=data.split.seed,
        split_file=plan.folder / data.split.file if data.split.file else None,
        selection=selection_of(plan, classes),
        cache=data.cache,
    )
    return open_dataset(settings, stratify=plan.kind.stratified)


def layout_of(plan: Plan) -> Layout:
    """The names of the file's datasets."""
    return Layout(**plan.config.data.model_dump(include=set(Layout.__dataclass_fields__)))


def selection_of(plan: Plan, classes: tuple[int, ...] | None) -> Selection:
    """The study's cuts.

    Args:
        plan: The study.
        classes: Label values that the task wants, or None for all.
    """
    select = plan.config.data.select
    if select is None:
        return Selection(classes=classes)
    if classes is not None and select.classes is not None:
        classes = tuple(label for label in classes if label in select.classes)
    fiducial = select.fiducial.model_dump(exclude_none=True) if select.fiducial else None
    return Selection(classes=classes or select.classes, energy=select.energy, fiducial=fiducial)


def gather_facts(plan: Plan, dataset: Dataset) -> Facts:
    """Look at the data once, when the study is created.

    Raises:
        DataError: The targets do not suit the task, or the data hold values that are not finite.
    """
    split = dataset.split
    used = dataset.targets[dataset.used]
    training = dataset.targets[split.training]
    check_finite(dataset.file, _worth_reading(dataset))
    target = plan.kind.summarise(plan.options, used, training, dataset.class_names)
    source = load_source(dataset, split.training, cache="map")
    return Facts(
        fingerprint=dataset.fingerprint,
        shape=dataset.shape,
        axes=dataset.axes,
        statistics=statistics(source, dataset.axes),
        target=target,
        events={"training": len(split.training), "validation": len(split.validation), "test": len(split.test)},
    )


def _worth_reading(dataset: Dataset) -> NDArray[np.int64]:
    """Events that are looked at for values that are not finite: all, or a sample of a very large file."""
    used = dataset.used
    size = len(used) * int(np.prod(dataset.shape)) * dataset.file.dtype.itemsize
    if size <= READ_WHOLE_BYTES:
        return used
    return used[np.unique(np.linspace(0, len(used) - 1, SAMPLED_EVENTS).astype(np.int64))]


def check_fingerprint(plan: Plan, facts: Facts, dataset: Dataset) -> None:
    """Refuse a file that is not the one the study was created with.

    Raises:
        DataError: It differs; the message says in what.
    """
    differing = [key for key, value in facts.fingerprint.items() if dataset.fingerprint.get(key) != value]
    if differing:
        raise DataError(
            f"{plan.data_path} is not the file that study {plan.config.name!r} was created with: "
            f"{', '.join(differing)} differ; give the same file, or start a study of another name"
        )


def _options(config: StudyConfig, kind: TaskKind[Any]) -> Any:
    given = config.objective.options
    accepted = [field.name for field in dataclasses.fields(kind.options)]
    for name in given:
        if name not in accepted:
            names = ", ".join(accepted) or "none"
            raise ConfigError(f"unknown key 'objective.{name}'; options of {kind.name!r}: {names}")
    try:
        return kind.options(**{name: tuple(v) if isinstance(v, list) else v for name, v in given.items()})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"objective {kind.name!r}: {error}") from None


def _looked_up(key: str, load: Any) -> Any:
    try:
        return load()
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from None
