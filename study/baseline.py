"""What a physicist would try first: a logistic regression on three numbers per event."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives._data import Dataset
from storage.errors import DataError

TUBES = 19
"""Of a multi-PMT module: channels 0–18 are charges, 19–37 times."""
BLOCK = 256  # events
FEATURES = ("total charge", "hits", "mean time")


@dataclass(frozen=True)
class Baseline:
    """A logistic regression's accuracy on the test events.

    Attributes:
        events: Number of test events.
    """

    features: Sequence[str]
    accuracy: float
    events: int


def logistic_regression(dataset: Dataset) -> Baseline:
    """Fit on the training and validation events, measure on the test events.

    Raises:
        DataError: The events are not in the reference format of charges and times.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if dataset.axes != "NHWC" or dataset.shape[0] != 2 * TUBES:
        raise DataError(f"the baseline needs {2 * TUBES} channels of charge and time, last; not {dataset.shape}")
    split = dataset.split
    seen = np.sort(np.concatenate([split.training, split.validation]))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(_features(dataset, seen), dataset.targets[seen])
    accuracy = model.score(_features(dataset, split.test), dataset.targets[split.test])
    return Baseline(FEATURES, float(accuracy), len(split.test))


def _features(dataset: Dataset, indices: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n, 3): total charge in photo-electrons, number of hit tubes, their mean time in ns."""
    events: Any = dataset.file.events()
    rows = [_reduced(np.asarray(events[indices[i : i + BLOCK]])) for i in range(0, len(indices), BLOCK)]
    return np.concatenate(rows)


def _reduced(events: NDArray[Any]) -> NDArray[np.float64]:
    charge, time = events[..., :TUBES].astype(np.float64), events[..., TUBES:].astype(np.float64)
    hit = charge > 0
    hits = hit.sum(axis=(1, 2, 3))
    mean_time = (time * hit).sum(axis=(1, 2, 3)) / np.maximum(hits, 1)
    return np.stack([charge.sum(axis=(1, 2, 3)), hits, mean_time], axis=1)
