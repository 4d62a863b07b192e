"""What the sampler is shown of a study whose trials are stopped early: one fair order of all trials.

Optuna's TPE takes any complete trial for better than any pruned one, and of pruned ones the longer for the better.
Under asynchronous halving that rewards whoever comes early: the first trials at a rung go on however bad they are. Here
a trial is compared with others at the last rung that both have reached.
"""

import copy
import math
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence

from optuna.trial import FrozenTrial, TrialState

from objectives._task import Direction


class Standings:
    """Ranks trials; the sampler sees those with values as complete ones, whose value is the rank."""

    def __init__(self, rungs: Sequence[int], direction: Direction) -> None:
        """Of a study.

        Args:
            rungs: Epochs at which trials may be stopped, rising.
            direction: Of the study's metric; ranks rise the same way.
        """
        self._rungs, self._sign = tuple(rungs), 1.0 if direction == "maximize" else -1.0

    def shown(self, trials: Sequence[FrozenTrial], paused: Collection[int] = ()) -> list[FrozenTrial]:
        """The trials as a sampler shall see them, in the same order; given ones are not changed.

        Args:
            trials: All of the study.
            paused: Ids of running trials that nobody trains: they are shown with what they have.
        """
        ranked = [t for t in trials if _is_ranked(t) or (t._trial_id in paused and t.intermediate_values)]
        ranks = self._ranks({trial.number: self._course(trial) for trial in ranked})
        return [_with_value(t, self._sign * ranks[t.number]) if t.number in ranks else t for t in trials]

    def _course(self, trial: FrozenTrial) -> list[float]:
        """Its values, higher being better, at each rung that it has reached and then at its end."""
        values, last = trial.intermediate_values, max(trial.intermediate_values)
        at = [values.get(rung, math.nan) for rung in self._rungs if rung <= last]
        if trial.state is TrialState.COMPLETE:
            at += [math.nan] * (len(self._rungs) - len(at)) + [trial.values[0] if trial.values else math.nan]
        elif not at:
            at = [values[last]]
        return [-math.inf if math.isnan(value) else self._sign * value for value in at]

    def _ranks(self, courses: Mapping[int, list[float]]) -> dict[int, int]:
        """Rank of each trial, 0 the worst.

        From the last rung to the first: a trial that ended at a rung is put among those that went on below as many of
        them as were better at this rung, however far they have come since.
        """
        order: list[int] = []  # best first
        for rung in reversed(range(len(self._rungs) + 1)):
            ended = sorted((n for n, c in courses.items() if len(c) == rung + 1), key=lambda n: (-courses[n][rung], n))
            beyond = sorted(-courses[number][rung] for number in order)
            places = [(bisect_right(beyond, -courses[number][rung]), number) for number in ended]
            merged: list[int] = []
            for place, number in reversed(places):
                merged += reversed(order[place:])
                del order[place:]
                merged.append(number)
            order += reversed(merged)
        return {number: len(order) - 1 - place for place, number in enumerate(order)}


def _is_ranked(trial: FrozenTrial) -> bool:
    ended = trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    return ended and bool(trial.intermediate_values) and not any(value > 0 for value in trial.constraints.values())


def _with_value(trial: FrozenTrial, value: float) -> FrozenTrial:
    shown = copy.copy(trial)
    shown.state, shown._values = TrialState.COMPLETE, [value]
    return shown
