"""The events that a study's configuration names: opened, selected and split."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from objectives._data import Dataset, DataSettings, open_dataset
from objectives._split import Selection
from storage.errors import ConfigError, DataError
from storage.hdf5 import EventFile, Layout
from study._plan import Plan

CACHE_VARIABLE = "STUDYHALL_CACHE"
"""Names the folder for converted events; without it they are kept beside the data."""


def configured_cache() -> Path | None:
    """The folder that the environment names, or None."""
    given = os.environ.get(CACHE_VARIABLE, "").strip()
    return Path(given).expanduser().absolute() if given else None


def open_data(plan: Plan) -> Dataset:
    """The study's events: opened, selected and split.

    Raises:
        ConfigError: The objective's classes are not those of the file.
        DataError: The file, its layout, its targets or its split cannot be used.
    """
    data = plan.config.data
    layout = layout_of(plan)
    file = EventFile.open(plan.data_path, layout)
    with about_target(plan):
        classes = plan.kind.classes(plan.options, file.column(data.target), file.class_names)
    settings = DataSettings(
        path=plan.data_path,
        layout=layout,
        validation=data.split.validation,
        test=data.split.test,
        seed=data.split.seed,
        split_file=plan.split_path,
        selection=selection_of(plan, classes),
        cache=data.cache,
        cache_folder=configured_cache(),
    )
    with _about_file(plan):
        dataset = open_dataset(settings, stratify=plan.kind.stratified)
        if not len(dataset.split.validation):
            raise DataError("the split leaves the validation part empty, which trials are compared on; give it events")
    return dataset


def layout_of(plan: Plan) -> Layout:
    """The names of the file's datasets."""
    names = plan.config.data.model_dump(include=set(Layout.__dataclass_fields__))
    # The classes that a selection cuts on are a classification's own.
    labels = names["target"] if plan.kind.classification else names["labels"]
    return Layout(**names | {"labels": labels, "pixels": plan.pixels_path})


def selection_of(plan: Plan, classes: tuple[int, ...] | None) -> Selection:
    """The study's cuts.

    Args:
        plan: The study.
        classes: Label values that the task wants, or None for all.

    Raises:
        ConfigError: The cuts leave out a class that the task wants.
    """
    select = plan.config.data.select
    if select is None:
        return Selection(classes=classes)
    if classes is not None and select.classes is not None and not set(classes) <= set(select.classes):
        raise ConfigError(
            f"data.select.classes is {list(select.classes)}, but objective {plan.kind.name} tells apart "
            f"{list(classes)}; select those, or name other classes in the objective"
        )
    fiducial = select.fiducial.model_dump(exclude_none=True) if select.fiducial else None
    return Selection(classes=select.classes if classes is None else classes, energy=select.energy, fiducial=fiducial)


@contextmanager
def about_target(plan: Plan) -> Iterator[None]:
    """Errors of a task, which knows neither file nor dataset, with both."""
    try:
        yield
    except DataError as error:
        raise _named(plan, error, f"{plan.data_path}: dataset {plan.config.data.target!r}") from None
    except ValueError as error:
        raise ConfigError(f"objective {plan.kind.name}: {error}") from None


@contextmanager
def _about_file(plan: Plan) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise _named(plan, error, str(plan.data_path)) from None


def _named(plan: Plan, error: DataError, subject: str) -> DataError:
    named = any(f"{path}: " in str(error) for path in (plan.data_path, plan.split_path))
    return error if named else DataError(f"{subject}: {error}")
