"""The metrics, on NumPy arrays; an undefined one is NaN.

They equal scikit-learn's of the same name, without its 1.2 s of import. Shapes: `labels` are int64 class indices (N,),
`probabilities` float64 (N, K) or, for two classes, (N,) of the class with index 1; `predicted` and `true` are float64
(N,) in the target's units.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

_CENTRAL = (15.865, 84.135)  # percent: the central 68.27 % of a Gaussian lie within one standard deviation


def accuracy(labels: Labels, predicted: Labels) -> float:
    """Return the fraction of all events whose class is right."""
    return float(np.mean(labels == predicted)) if len(labels) else np.nan


def balanced_accuracy(labels: Labels, predicted: Labels) -> float:
    """Return the mean, over the classes that occur in `labels`, of the fraction that is right."""
    if not len(labels):
        return np.nan
    events = np.bincount(labels)
    right = np.bincount(labels[labels == predicted], minlength=len(events))
    return float(np.mean(right[events > 0] / events[events > 0]))


def log_loss(labels: Labels, probabilities: Floats) -> float:
    """Return the mean of -log(probability of the true class), in nats; probabilities are clipped by 2.2e-16."""
    if not len(labels):
        return np.nan
    both = probabilities if probabilities.ndim == 2 else np.stack([1 - probabilities, probabilities], axis=1)
    true = both[np.arange(len(labels)), labels]
    smallest = np.finfo(np.float64).eps
    return float(-np.mean(np.log(np.clip(true, smallest, 1 - smallest))))


def roc_auc(positive: NDArray[np.bool_], scores: Floats) -> float:
    """Return the area under the ROC curve: how often a positive event scores above a negative one, ties half.

    It is undefined without a positive or a negative event, or with a NaN score.
    """
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative or np.isnan(scores).any():
        return np.nan
    _, groups, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(sizes) - (sizes - 1) / 2  # from 1; tied scores share their mean rank
    return float((ranks[groups][positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def roc_auc_one_vs_rest(labels: Labels, probabilities: Floats) -> float:
    """Return the unweighted mean over the K classes of each one's ROC AUC against the others together.

    It is undefined if any class has no event.
    """
    return float(np.mean([roc_auc(labels == index, column) for index, column in enumerate(probabilities.T)]))


def rmse(predicted: Floats, true: Floats) -> float:
    """Return the root of the mean squared error, in target units."""
    return float(np.sqrt(np.mean((predicted - true) ** 2))) if len(true) else np.nan


def mae(predicted: Floats, true: Floats) -> float:
    """Return the mean absolute error, in target units."""
    return float(np.mean(np.abs(predicted - true))) if len(true) else np.nan


def resolution(predicted: Floats, true: Floats) -> float:
    """Return the standard deviation of the response predicted / true, over its mean.

    The mean is divided out, as in a calorimeter's σ/E: a network that predicts too little everywhere gains nothing,
    and a constant prediction does not look sharp. It is undefined if any true value is 0, or the mean response is not
    above 0.
    """
    response = 1 + _relative(predicted, true)
    return float(np.std(response) / np.mean(response)) if len(response) and np.mean(response) > 0 else np.nan


def resolution_68(predicted: Floats, true: Floats) -> float:
    """Return half the width of the central 68.27 % of the response predicted / true, over its median.

    For Gaussian errors it equals `resolution`; unlike that, a few far outliers hardly move it.
    """
    response = 1 + _relative(predicted, true)
    if not len(response) or not np.isfinite(response).all() or np.median(response) <= 0:
        return np.nan
    low, high = np.percentile(response, _CENTRAL)
    return float((high - low) / 2 / np.median(response))


def bias(predicted: Floats, true: Floats) -> float:
    """Return the absolute value of the mean relative error, so that less is better."""
    relative = _relative(predicted, true)
    return float(np.abs(np.mean(relative))) if len(relative) else np.nan


def _relative(predicted: Floats, true: Floats) -> Floats:
    if np.any(true == 0):
        return np.empty(0)
    return (predicted - true) / np.abs(true)
