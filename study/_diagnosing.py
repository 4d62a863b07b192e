"""Diagnostics of a network on a part of a study's split, with what the file knows of its events."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives._data import Dataset
from objectives._diagnostics import diagnostics
from objectives._task import Task
from storage.errors import DataError
from storage.hdf5 import EventFile


@dataclass(frozen=True)
class Known:
    """What a file knows of a part's events beside what is learned.

    Attributes:
        targets: (N,), as stored.
        energies: true, in MeV, (N,), or None.
        target: The "name" of the target's dataset and its "unit", or "".
    """

    targets: NDArray[Any]
    energies: NDArray[Any] | None
    target: dict[str, str]


def known_of(dataset: Dataset, part: str) -> Known:
    """What is known of a part's events.

    Args:
        dataset: The study's events.
        part: ``validation`` or ``test``.
    """
    indices = getattr(dataset.split, part)
    energies, layout = energies_of(dataset.file), dataset.file.layout
    unit = "MeV" if layout.target == layout.energies else ""
    mine = None if energies is None else energies[indices]
    return Known(dataset.targets[indices], mine, {"name": layout.target, "unit": unit})


def known_diagnostics(task: Task, known: Known, predictions: NDArray[np.float64]) -> dict[str, Any]:
    """As `objectives._diagnostics.diagnostics`, with the "target" of the events.

    Args:
        task: The study's.
        known: Of N events.
        predictions: (N, K).
    """
    return diagnostics(task, predictions, known.targets, known.energies) | {"target": known.target}


def part_diagnostics(task: Task, dataset: Dataset, part: str, predictions: NDArray[np.float64]) -> dict[str, Any]:
    """`known_diagnostics` of a part of the study's split."""
    return known_diagnostics(task, known_of(dataset, part), predictions)


def energies_of(file: EventFile) -> NDArray[Any] | None:
    """Each event's energy in MeV, (N,), or None where the file has no column of one number per event of that name."""
    if file.layout.energies not in file.datasets:
        return None
    try:
        values = file.column(file.layout.energies)
    except DataError:
        return None
    return values if values.ndim == 1 else None
