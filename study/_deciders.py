"""The pruners as a replay asks them: our halving, or any of Optuna's over a study in memory."""

import math
import warnings
from collections.abc import Sequence

import optuna
from optuna.pruners import BasePruner
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from objectives._task import Direction
from storage._rungs import Rung
from study._halving import Halving
from study._rungs import Searched, halving_of
from study.replay import Course, Decider, End
from study.search import make_pruner


class HalvingDecider:
    """Our halving over rungs in memory: what a trial has reported at a rung stays there."""

    def __init__(self, halving: Halving, epochs: int) -> None:
        self._halving = halving
        self._rungs = {rung: Rung() for rung in halving.rungs(epochs)}

    def begin(self, course: Course) -> None:
        """See `Decider`."""

    def stops(self, course: Course, epoch: int) -> bool:
        """See `Decider`."""
        rung = self._rungs.get(epoch)
        if rung is None:
            return False
        value, lot = course.values[epoch - 1], course.number if course.lot is None else course.lot
        rung.add(lot, value)
        if value == value and self._halving.spares(epoch, course.number):
            return False
        standing = rung.standing(lot, value)
        better = standing.higher if self._halving.direction == "maximize" else standing.lower
        return self._halving.stops(value, standing.others, better)

    def end(self, course: Course, epochs: int, *, stopped: bool) -> None:
        """See `Decider`."""


class OptunaDecider:
    """One of Optuna's pruners, which sees each trial under its own number, and the study under its own name.

    Hyperband divides the trials by both.
    """

    def __init__(self, pruner: BasePruner, name: str, direction: Direction, count: int, epochs: int) -> None:
        """Trials from 0 to `count` - 1 wait."""
        self._direction: Direction = direction
        self._epochs = epochs
        self._storage = InMemoryStorage()
        self._study_id = self._storage.create_new_study([StudyDirection[direction.upper()]], name)
        self._ids = [
            self._storage.create_new_trial(self._study_id, create_trial(state=TrialState.WAITING)) for _ in range(count)
        ]
        self._study = optuna.Study(name, self._storage, pruner=pruner)

    def begin(self, course: Course) -> None:
        """See `Decider`."""
        self._storage.set_trial_state_values(self._ids[course.number], TrialState.RUNNING)

    def stops(self, course: Course, epoch: int) -> bool:
        """See `Decider`."""
        self._storage.set_trial_intermediate_value(self._ids[course.number], epoch, course.values[epoch - 1])
        if epoch >= self._epochs:
            return False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that are not finite: the study's own log has told of them
            return self._study.pruner.prune(self._study, self._trial(course.number))

    def end(self, course: Course, epochs: int, *, stopped: bool) -> None:
        """See `Decider`."""
        if stopped or course.end in (End.STOPPED, End.OPEN):
            # A pruned trial's value is that of its best epoch.
            self._set(course.number, TrialState.PRUNED, _best(course.values[:epochs], self._direction))
        elif course.end is End.COMPLETE:
            self._set(course.number, TrialState.COMPLETE, course.value)
        else:
            self._set(course.number, TrialState.FAIL, None)

    def _trial(self, number: int) -> FrozenTrial:
        return self._storage.get_trial(self._ids[number])

    def _set(self, number: int, state: TrialState, value: float | None) -> None:
        values = None if value is None else [value]
        self._storage.set_trial_state_values(self._ids[number], state, values=values)


def make_decider(study: Searched, name: str, count: int) -> Decider:
    """The pruner of a configuration, fresh.

    Args:
        study: Its configuration and direction.
        name: The study's.
        count: Trials have numbers below this.

    Raises:
        ConfigError: No pruner of that name, or an option that it does not take.
    """
    pruner, epochs = make_pruner(study.config), study.config.training.epochs
    halving = halving_of(study, pruner)
    if halving is not None:
        return HalvingDecider(halving, epochs)
    return OptunaDecider(pruner, name, study.direction, count, epochs)


def _best(values: Sequence[float], direction: Direction) -> float | None:
    known = [value for value in values if not math.isnan(value)]
    return (max(known) if direction == "maximize" else min(known)) if known else None
