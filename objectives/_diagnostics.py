"""What a trained network's predictions are good for, as JSON of bounded size: what figures and reports are made from.

All that is read from the result is described at `classification` and `regression`, which make it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives._classification import classification
from objectives._labels import one_per_event
from objectives._regression import regression
from objectives._task import Raw, Task

Floats = NDArray[np.float64]


def diagnostics(task: Task, predictions: Floats, targets: Raw, energies: Raw | None = None) -> dict[str, Any]:
    """Return what the predictions of N events are good for.

    Every number is finite or None. At most about 60 kB of JSON, however many events there are.

    Args:
        task: a task with classes, or a regression.
        predictions: (N, K) as `Task.predict` gives them; events of which one is not finite are left out.
        targets: as in a file, (N,) or (N, 1).
        energies: true energies in MeV, (N,) or (N, 1), or None where they are unknown.

    Returns:
        "kind" is "classification" or "regression". It is "other" for a task whose predictions are neither one
        probability per class (or that of the second of two), nor one value, or that does not encode classes as
        indices. "events" is N, "left_out" the number of events left out. The rest is described at `classification` and
        `regression`.

    Raises:
        ValueError: the numbers of predictions, targets and energies differ.
        DataError: a target that the task has no place for.
    """
    for name, values in (("targets", targets), ("energies", energies)):
        if values is not None and len(values) != len(predictions):
            raise ValueError(f"there are {len(predictions)} predictions but {len(values)} {name}; give one per event")
    good: NDArray[np.bool_] = np.asarray(np.isfinite(predictions).all(axis=1))
    known = {"events": len(predictions), "left_out": int(np.count_nonzero(~good))}
    used, energy = predictions[good], None if energies is None else _flat(energies)[good]
    if task.classes:
        probabilities = class_probabilities(used, len(task.classes))
        if probabilities is None:
            return {"kind": "other"} | known
        encoded = np.asarray(task.encode(targets))[good]
        if encoded.ndim != 1 or not np.isin(encoded, np.arange(len(task.classes))).all():
            return {"kind": "other"} | known
        encoded = encoded.astype(np.int64)
        return {"kind": "classification"} | known | classification(task.classes, encoded, probabilities, energy)
    if predictions.shape[1] != 1:
        return {"kind": "other"} | known
    return {"kind": "regression"} | known | regression(used[:, 0], _flat(targets)[good], energy)


def class_probabilities(predictions: Floats, classes: int) -> Floats | None:
    """Return (N, classes) from (N, classes) or, of two classes, (N, 1) of the second; None if they are neither."""
    if predictions.shape[1] == classes:
        return predictions
    if (predictions.shape[1], classes) == (1, 2):
        return np.concatenate([1 - predictions, predictions], axis=1)
    return None


def _flat(values: Raw) -> Floats:
    return one_per_event(values).astype(np.float64)
