"""The ROC curves of all pairs of classes."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from objectives._binning import Floats
from objectives._metrics import Labels
from objectives._roc import roc_curve

MOST_CLASSES = 10
"""With more classes there are no curves: their number grows with the square."""
MOST_POINTS = 200
ALL_POINTS = 1800
"""Of all pairs together, so that what is stored stays small."""
_SIGNAL, _BACKGROUND = "electron", "gamma"


def roc_pairs(classes: Sequence[str], encoded: Labels, probabilities: Floats) -> list[dict[str, Any]]:
    """Return the curve of each pair of classes, as `Roc.to_json`; none of more than 10 classes.

    Args:
        classes: K names.
        encoded: true class indices (N,).
        probabilities: (N, K).
    """
    if len(classes) > MOST_CLASSES:
        return []
    pairs = list(combinations(range(len(classes)), 2))
    points = min(MOST_POINTS, ALL_POINTS // len(pairs))
    members = [encoded == index for index in range(len(classes))]
    found = []
    for background, signal in pairs:
        chosen = members[signal] | members[background]
        scores = discriminant(probabilities[chosen, signal], probabilities[chosen, background])
        roc = roc_curve(classes[signal], classes[background], members[signal][chosen], scores, points)
        found.append(roc.to_json())
    return found


def discriminant(signal: Floats, background: Floats) -> Floats:
    """Return p_s / (p_s + p_b), (N,); one half where both are 0."""
    both = signal + background
    return np.where(both > 0, signal / np.where(both > 0, both, 1), 0.5)


def default_pair(classes: Sequence[str]) -> tuple[str, str]:
    """Return signal and background: electron and gamma among three classes or more, else the second and the first.

    Of two classes the second is the positive one of a binary study.
    """
    named = len(classes) > 2 and {_SIGNAL, _BACKGROUND} <= set(classes)
    return (_SIGNAL, _BACKGROUND) if named else (classes[1], classes[0])
