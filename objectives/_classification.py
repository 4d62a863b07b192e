"""What a classification's predictions are good for: confusion, probabilities, ROC curves, efficiency against energy."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from objectives._binning import Counts, Floats, bin_of, jsonable, quantile_edges, wilson
from objectives._metrics import Labels
from objectives._roc_pairs import MOST_CLASSES, default_pair, roc_pairs

MOST_CONFUSED = 40
"""With more classes there is no matrix and no efficiency of each."""
BINS = 25
"""Of a probability, from 0 to 1."""


def classification(
    classes: Sequence[str], encoded: Labels, probabilities: Floats, energies: Floats | None
) -> dict[str, Any]:
    """Return the following as JSON; an event is taken as of its most probable class.

    "classes": K names. "confusion": events by true class and class it is taken as (K, K), or None of more than 40
    classes. "probabilities": events by class whose probability it is, true class and bin of 1/25 (K, K, 25), or None of
    more than 10 classes. "default_pair": signal and background. "roc": as `roc_pairs` describes it.
    "efficiency": as `efficiency` describes it, or None without energies or of more than 40 classes.

    Args:
        classes: K names.
        encoded: true class indices (N,).
        probabilities: (N, K), finite.
        energies: true, in MeV, (N,); those that are not finite are left out.
    """
    count = len(classes)
    taken = probabilities.argmax(axis=1) if len(encoded) else np.empty(0, np.int64)
    few = count <= MOST_CONFUSED
    return {
        "classes": list(classes),
        "confusion": _table(encoded, taken, count, count).tolist() if few else None,
        "probabilities": _histograms(encoded, probabilities).tolist() if count <= MOST_CLASSES else None,
        "default_pair": list(default_pair(classes)),
        "roc": roc_pairs(classes, encoded, probabilities),
        "efficiency": efficiency(count, encoded, taken == encoded, energies) if few and energies is not None else None,
    }


def efficiency(classes: int, encoded: Labels, right: Labels, energies: Floats) -> dict[str, Any] | None:
    """Return how often each class is told right, by bins of true energy that hold equally many events of all classes.

    "edges" (B + 1,) and "centres" (B,), the median energies, in MeV; for each class "events" (K, B), "efficiency",
    "low" and "high" (K, B): the fraction that is right and Wilson's interval of one sigma, None where it has no event.
    None if no energy is finite.
    """
    known = np.isfinite(energies)
    if not known.any():
        return None
    energies, encoded, right = energies[known], encoded[known], right[known]
    edges = quantile_edges(energies, fewest=30 * classes)
    bins, count = bin_of(energies, edges), len(edges) - 1
    events = _table(encoded, bins, classes, count)
    passed = _table(encoded[right], bins[right], classes, count)
    low, high = wilson(passed, events)
    fraction = np.divide(passed, events, out=np.full(events.shape, np.nan), where=events > 0)
    return {
        "edges": jsonable(edges),
        "centres": jsonable(np.array([np.median(energies[bins == index]) for index in range(count)])),
        "events": events.tolist(),
        "efficiency": [jsonable(row) for row in fraction],
        "low": [jsonable(row) for row in low],
        "high": [jsonable(row) for row in high],
    }


def _table(rows: Labels, columns: Labels, height: int, width: int) -> Counts:
    counts = np.bincount(rows * width + columns, minlength=height * width)
    return counts.reshape(height, width).astype(np.int64)


def _histograms(encoded: Labels, probabilities: Floats) -> Counts:
    count = probabilities.shape[1]
    bins = np.clip((probabilities * BINS).astype(np.int64), 0, BINS - 1)
    return np.stack([_table(encoded, bins[:, index], count, BINS) for index in range(count)])
