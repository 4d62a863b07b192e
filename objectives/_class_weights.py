"""How much each class counts in the training loss."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from objectives._fit_settings import ClassWeights
from objectives._task import Task
from storage.errors import DataError


def class_weights(setting: ClassWeights, task: Task, encoded: NDArray[Any]) -> Tensor | None:
    """Return one weight per class, float32 (classes,), or None if all count alike.

    Args:
        setting: as in `FitSettings`.
        task: its classes are weighed.
        encoded: the training events' targets as class indices (N,).

    Raises:
        ValueError: the task has no classes, or another number of them than there are weights.
        DataError: a class to be balanced has no training event.
    """
    if setting is None:
        return None
    if not task.classes:
        raise ValueError(f"class_weights is {setting!r}; a regression has no classes: leave it unset")
    if setting == "balanced":
        return torch.from_numpy(_balanced(task, encoded).astype(np.float32))
    if len(setting) != len(task.classes):
        raise ValueError(
            f"class_weights has {len(setting)} numbers; accepted are {len(task.classes)}, for {', '.join(task.classes)}"
        )
    return torch.tensor(setting, dtype=torch.float32)


def _balanced(task: Task, encoded: NDArray[Any]) -> NDArray[np.float64]:
    events = np.bincount(encoded, minlength=len(task.classes))
    if not events.all():
        absent = ", ".join(name for name, number in zip(task.classes, events, strict=True) if not number)
        raise DataError(f"no training event is of class {absent}; class_weights: balanced needs some of every class")
    return len(encoded) / (len(events) * events)
