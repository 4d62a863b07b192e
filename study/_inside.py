"""Trials of a study whose space has changed, seen from the space that it has now."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from study._space import Space
from study.plan import Plan


class Inside:
    """What a sampler is shown of trials with values outside of the space, which Optuna's take for errors or edges.

    TPE, which looks at each parameter by itself, still learns from a trial's other values; samplers that look at
    several together are not shown such a trial.
    """

    def __init__(self, plan: Plan) -> None:
        sampler = plan.config.search.sampler
        self._ranges = {parameter.name: parameter.range for parameter in plan.space.searched}
        self._in_part = sampler.name == "tpe" and not sampler.options.get("multivariate")
        self._known: dict[int, FrozenTrial | None] = {}

    def shown(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """The trials, or as much of each as lies in the space."""
        return [shown for trial in trials if (shown := self._remembered(trial)) is not None]

    def _remembered(self, trial: FrozenTrial) -> FrozenTrial | None:
        if not trial.state.is_finished():
            return self._shown(trial)
        if trial._trial_id not in self._known:
            self._known[trial._trial_id] = self._shown(trial)
        return self._known[trial._trial_id]

    def _shown(self, trial: FrozenTrial) -> FrozenTrial | None:
        outside = [
            name
            for name, value in trial.params.items()
            if name in self._ranges and not self._ranges[name].contains(value)
        ]
        if not outside:
            return trial
        if not self._in_part:
            return None
        part = copy.copy(trial)
        part._params = {name: value for name, value in trial.params.items() if name not in outside}
        part._distributions = {name: kind for name, kind in trial.distributions.items() if name not in outside}
        return part


def is_complete(space: Space, values: Mapping[str, Any]) -> bool:
    """Whether nothing is left to be sampled."""
    try:
        space.resolved(values)
    except KeyError:
        return False
    return True


def is_same(space: Space, trial: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """Whether a trial's parameters, some of which may be fixed by now, are the same configuration as these values."""
    if trial == values:
        return True
    surplus = values.items() <= trial.items()
    return surplus and is_complete(space, trial) and space.resolved(trial) == space.resolved(values)
