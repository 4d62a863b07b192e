"""A study's complete trials by how good they are."""

import math
from collections.abc import Sequence

from optuna.trial import TrialState

from objectives._task import Direction
from storage.history import TrialRow
from study.front import front, losses


def leaders(trials: Sequence[TrialRow], *directions: Direction) -> list[TrialRow]:
    """Complete trials of ours, best first: those of the front, then the others; among them by the first objective.

    Of equals the earlier comes first.

    Args:
        trials: In any order.
        directions: Which way each objective is better.
    """
    chosen = {trial.number for trial in front_of(trials, *directions)}
    sign = -1 if directions[0] == "maximize" else 1

    def key(trial: TrialRow) -> tuple[bool, bool, float, int]:
        value = math.nan if trial.value is None else trial.value
        unknown = math.isnan(value)
        return trial.number not in chosen, unknown, 0.0 if unknown else sign * value, trial.number

    return sorted(_complete(trials), key=key)


def front_of(trials: Sequence[TrialRow], *directions: Direction) -> list[TrialRow]:
    """Complete trials of ours that no other dominates; with one objective the best one and its equals."""

    def of(trial: TrialRow) -> tuple[float, ...]:
        values = trial.all_values if len(directions) > 1 else (math.nan if trial.value is None else trial.value,)
        return losses(values, directions)

    return front([t for t in _complete(trials) if not any(map(math.isnan, of(t)))], of)


def _complete(trials: Sequence[TrialRow]) -> list[TrialRow]:
    return [t for t in trials if t.ours and t.state is TrialState.COMPLETE and t.value is not None]
