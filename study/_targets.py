"""What the target of a file is: classes or numbers, and what is wrong with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.errors import DataError
from storage.hdf5 import EventFile

FEW = 10
"""A class with fewer events than this cannot be split in any useful way."""
MOST_CLASSES = 1000
MOST_REAL_CLASSES = 100
"""Classes are mostly integers; whole numbers stored as floats may be energies."""

Column = NDArray[Any]


@dataclass(frozen=True)
class ClassCount:
    """One class and how many events it has."""

    label: int
    name: str
    events: int


@dataclass(frozen=True)
class Target:
    """What a look at the target found.

    Attributes:
        classes: Empty when the target is no class.
        range: Minimum, mean and maximum, when it is no class.
        problems: What stops a training.
        remarks: What may make it poor.
    """

    classes: Sequence[ClassCount] = ()
    range: Mapping[str, float] | None = None
    problems: Sequence[str] = ()
    remarks: Sequence[str] = ()


def look_at(file: EventFile) -> Target:
    """Look at the target of a file; nothing that is wrong with it is an exception."""
    where = f"{file.path}: dataset {file.layout.target!r}"
    try:
        values = file.column(file.layout.target)
    except DataError as error:
        return Target(problems=[str(error)])
    if values.ndim != 1:
        return Target(problems=[f"{where} has {values.shape[1]} numbers per event; a target is one: name another"])
    finite = np.isfinite(values)
    if not finite.all():
        bad = f"{np.count_nonzero(~finite)} values that are not finite, first at event {int(np.argmin(finite))}"
        return Target(problems=[f"{where} has {bad}; repair the file, or leave those events out"])
    if not _are_classes(values):
        return Target(range=extent(values), problems=[f"{where} {text}" for text in _number_problems(values)])
    classes = _counted(values, file.class_names or ())
    problems = [f"{where} {text}" for text in _class_problems(classes, file.class_names)]
    few = [f"{item.name} ({item.events})" for item in classes if 1 < item.events < FEW]
    return Target(classes, None, problems, [f"classes with fewer than {FEW} events: {', '.join(few)}"] if few else [])


def extent(values: NDArray[Any]) -> dict[str, float]:
    """Minimum, mean and maximum."""
    return {"minimum": float(values.min()), "mean": float(values.mean()), "maximum": float(values.max())}


def _are_classes(values: Column) -> bool:
    if values.dtype.kind in "iub":
        return len(np.unique(values)) <= MOST_CLASSES
    return bool(np.all(values == np.floor(values))) and len(np.unique(values)) <= MOST_REAL_CLASSES


def _counted(values: Column, names: Sequence[str]) -> list[ClassCount]:
    labels, counts = np.unique(values, return_counts=True)
    return [
        ClassCount(label, names[int(label)] if 0 <= label < len(names) else str(label), count)
        for label, count in zip(labels.astype(np.int64).tolist(), counts.tolist(), strict=True)
    ]


def _class_problems(classes: Sequence[ClassCount], names: Sequence[str] | None) -> list[str]:
    found = []
    negative = [item for item in classes if item.label < 0]
    if negative:
        found.append(f"has the labels {_listed(negative)}; accepted are whole numbers from 0 up: correct them")
    beyond = [item for item in classes if names is not None and item.label >= len(names)]
    if beyond and names is not None:
        found.append(f"has the labels {_listed(beyond)}, but there are {len(names)} class names ({', '.join(names)})")
    lonely = [item for item in classes if item.events == 1]
    if lonely and not negative and not beyond:
        found.append(f"has only one event each of {_listed(lonely)}; select the classes to use: data.select.classes")
    if len(classes) == 1:
        found.append(f"has one class only, {classes[0].name}; name another dataset, or a file with several classes")
    return found


def _number_problems(values: Column) -> list[str]:
    """Mostly a few whole numbers: labels, of which some are fractional by mistake."""
    if values.dtype.kind in "iub":
        return []
    whole = values == np.floor(values)
    if np.count_nonzero(whole) < len(values) / 2 or len(np.unique(values[whole])) > MOST_REAL_CLASSES:
        return []
    first = int(np.argmin(whole))
    return [f"has {values[first]} at event {first} and {np.count_nonzero(~whole) - 1} more fractions among labels"]


def _listed(classes: Sequence[ClassCount], shown: int = 5) -> str:
    return ", ".join(str(item.label) for item in classes[:shown]) + (", …" if len(classes) > shown else "")
