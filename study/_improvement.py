"""What a study's last trials have gained."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import TrialState

from storage.history import TrialRow
from study._best import best_so_far, in_order

LAST = 50
"""Trials whose gain is told."""


@dataclass(frozen=True)
class Improvement:
    """How the best value came about, over trials that ended with a result: complete and pruned ones.

    Attributes:
        trials: How many there are.
        last: How many of them are looked at: the last ones to end.
        before: The best value before these, or None.
        best: The best value now, or None.
        gain: By how much it is better, from 0; None where either is unknown.
        since: Trials that ended after the one with the best value; None without one.
    """

    trials: int
    last: int
    before: float | None
    best: float | None
    gain: float | None
    since: int | None


def improvement(trials: Sequence[TrialRow], direction: str, *, last: int = LAST) -> Improvement:
    """What the last trials have gained.

    Args:
        trials: Of one study, in any order.
        direction: ``maximize`` or ``minimize``.
        last: How many are looked at.
    """
    results = [trial for trial in in_order(trials) if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    curve = best_so_far(results, direction)
    best = _known(curve[-1]) if curve else None
    before = _known(curve[-last - 1]) if len(curve) > last else None
    return Improvement(
        trials=len(curve),
        last=min(last, len(curve)),
        before=before,
        best=best,
        gain=None if best is None or before is None else abs(best - before),
        since=None if best is None else len(curve) - 1 - curve.index(best),
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
