"""Where the best trials lie, in words."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

SHOWN_CHOICES = 3
CENTRAL = (10, 90)
"""Percentiles of the values that are shown, from ten on; of fewer the least and the greatest."""
END = 0.25
"""A median in the lowest or highest quarter of all values is low or high."""


def region(distribution: BaseDistribution, best: Sequence[Any], everywhere: Sequence[Any]) -> str:
    """Such as ``0.0012 to 0.0089 (high)`` or ``adam 7 of 10, sgd 2 of 10``.

    Args:
        distribution: The parameter's.
        best: Its values in the best trials, without those that have none.
        everywhere: Its values in all trials.
    """
    if not best:
        return "none of the best has it"
    if isinstance(distribution, CategoricalDistribution):
        counts = Counter(map(str, best)).most_common(SHOWN_CHOICES)
        return ", ".join(f"{choice} {count} of {len(best)}" for choice, count in counts)
    numbers, others = np.array(best, np.float64), np.sort(np.array(everywhere, np.float64))
    whole = all(isinstance(value, int) for value in best)
    low, high = np.percentile(numbers, CENTRAL) if len(numbers) >= 10 else (numbers.min(), numbers.max())
    low, high = (_number(value, whole=whole) for value in (low, high))
    span = low if low == high else f"{low} to {high}"
    middle = float(np.median(numbers))
    place = (np.searchsorted(others, middle, "left") + np.searchsorted(others, middle, "right")) / 2 / len(others)
    return f"{span} ({'low' if place < END else 'high' if place > 1 - END else 'middle'})"


def _number(value: float, *, whole: bool) -> str:
    return str(round(value)) if whole else f"{value:.2g}"
