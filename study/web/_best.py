"""A study's best trials, kept while trials finish: one, or the Pareto front of several objectives."""

from collections.abc import Sequence

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from study.front import dominates


class BestTrials:
    """Numbers of the best completed trials, in ascending order; of equal single ones the first counts."""

    def __init__(self, directions: Sequence[StudyDirection]) -> None:
        """Know no trial yet."""
        self._signs = [-1.0 if direction is StudyDirection.MAXIMIZE else 1.0 for direction in directions]
        self._front: dict[int, tuple[float, ...]] = {}

    @property
    def numbers(self) -> list[int]:
        """Of the best trials."""
        return sorted(self._front)

    def add(self, trial: FrozenTrial) -> None:
        """Add a finished trial."""
        if trial.state is not TrialState.COMPLETE:
            return
        losses = tuple(sign * value for sign, value in zip(self._signs, trial.values, strict=True))
        if len(losses) == 1:
            self._add_single(trial.number, losses)
        elif not any(dominates(other, losses) for other in self._front.values()):
            kept = {number: other for number, other in self._front.items() if not dominates(losses, other)}
            self._front = {**kept, trial.number: losses}

    def _add_single(self, number: int, losses: tuple[float, ...]) -> None:
        for known, least in self._front.items():
            if (least, known) < (losses, number):
                return
        self._front = {number: losses}
