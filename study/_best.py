"""The best value as trials end: the curve that every search is judged by."""

import math
from collections.abc import Sequence

from optuna.trial import TrialState

from objectives._task import Direction
from storage.history import TrialRow


def in_order(trials: Sequence[TrialRow]) -> list[TrialRow]:
    """Trials of ours that have ended, in the order in which they did."""
    ended = [(trial.ended_at, trial.number, trial) for trial in trials if trial.ours and trial.ended_at is not None]
    return [trial for _, _, trial in sorted(ended, key=lambda item: item[:2])]


def best_so_far(ended: Sequence[TrialRow], direction: str | Direction) -> list[float]:
    """The best value of a complete trial after each trial that ended; NaN before the first.

    Args:
        ended: In the order of their ends.
        direction: ``maximize`` or ``minimize``.
    """
    better = max if direction == "maximize" else min
    best, curve = math.nan, []
    for trial in ended:
        value = trial.value if trial.state is TrialState.COMPLETE and trial.value is not None else math.nan
        if not math.isnan(value):
            best = value if math.isnan(best) else better(best, value)
        curve.append(best)
    return curve


def best_epoch(trial: TrialRow, direction: str | Direction) -> int | None:
    """The first epoch with the best reported value; None without any."""
    known = {epoch: value for epoch, value in trial.values.items() if not math.isnan(value)}
    if not known:
        return None
    sign = -1 if direction == "maximize" else 1
    return min(known, key=lambda epoch: (sign * known[epoch], epoch))


def trained_epochs(trial: TrialRow) -> int:
    """Epochs that the trial has reported; those an attempt trained again after a checkpoint count once."""
    return max(trial.values, default=0)
