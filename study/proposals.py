"""Parameters for a claimed trial, from the study's sampler."""

import copy
from collections.abc import Callable, Collection, Sequence
from typing import Any

import optuna
from optuna.distributions import FloatDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from storage import attempts
from storage._optuna import new_trial
from storage.attempts import Claim
from storage.database import Database
from study._inside import Inside, is_complete, is_same
from study._rungs import rungs_of
from study._sampling import Parameters, Sampled, View, sample
from study._standings import Standings
from study.plan import Plan
from study.search import make_sampler, random_sampler

AHEAD = ("tpe", "random")
"""Samplers that write nothing and count nothing, so that a trial's parameters may be proposed before it is claimed."""
LISTED = ("grid", "brute_force")
"""Samplers that go through all configurations and tell by themselves when there are no more."""
NO_TRIAL = -1
"""Stands for the id of a trial that is not there yet."""
DRAWS = 300
"""Random draws in search of a configuration that is new; so many in vain miss one in 100 with a chance of 5 %."""


class SpaceExhausted(Exception):
    """No configuration was found that has not been trained."""


class Proposals:
    """Proposes parameters: of a trial that has been claimed, or of the next one while the workers train.

    The default sampler takes 50 ms for a trial at first and a second at 10,000 trials, so a worker should not wait for
    it. What is proposed ahead has not seen the trials that end meanwhile; a study of several workers has that anyway.

    No configuration is proposed twice unless the study says so (``search.repeat``) or searches nothing, also when two
    agents propose at the same instant; one that somebody enqueues is his to say.
    """

    def __init__(
        self, database: Database, study: optuna.Study, plan: Plan, paused: Callable[[], Collection[int]] = tuple
    ) -> None:
        """For one study.

        Args:
            database: Where it is.
            study: As Optuna knows it.
            plan: Its configuration.
            paused: Gives the ids of trials that wait at a rung, which the sampler takes for ended there.
        """
        self._database, self._study, self._plan = database, study, plan
        self._ahead: tuple[int, Sampled] | None = None
        sampler = plan.config.search.sampler.name
        self._can_be_ahead = sampler in AHEAD
        self._may_repeat = plan.config.search.repeat or sampler in LISTED or not plan.space.searched
        view, inside = _view_of(plan, paused), Inside(plan)
        self._view: View = lambda trials: view(inside.shown(trials))

    def propose(self, claim: Claim) -> dict[str, Any]:
        """The trial's sampled parameters, written to the database together; those it has already stay as they are.

        Raises:
            LeaseLost: Somebody else has taken over the trial.
            SpaceExhausted: Every configuration has been tried.
        """
        values, new = self._for(claim)
        once = claim.fresh and not self._may_repeat and _may_come_twice(new)
        while new and not attempts.sample(self._database, claim, new, once=once):
            values, new = self._sample(claim.number, claim.trial_id, fresh=True)
        return values

    def prepare(self, number: int) -> None:
        """Propose for the trial of this number, which is still to be started, unless that has been done."""
        if self._can_be_ahead and (self._ahead is None or self._ahead[0] != number):
            try:
                self._ahead = number, self._sample(number, NO_TRIAL, fresh=True)
            except SpaceExhausted:
                self._can_be_ahead = False  # to find it out takes many draws; once more, when the trial is there

    def _for(self, claim: Claim) -> Sampled:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == claim.number and claim.fresh:
            return ahead[1]
        if not claim.fresh:
            known = self._study._storage.get_trial(claim.trial_id).params
            if is_complete(self._plan.space, known):  # the space may be another one than it was sampled from
                return dict(known), {}
        return self._sample(claim.number, claim.trial_id, fresh=claim.fresh)

    def _sample(self, number: int, trial_id: int, *, fresh: bool) -> Sampled:
        config = self._plan.config
        sampled = self._ask(make_sampler(config, number, self._plan.space), number, trial_id, fresh=fresh)
        if not fresh or self._may_repeat:
            return sampled
        for draw in range(1, DRAWS + 1):
            if not self._known(sampled[1], trial_id):
                return sampled
            sampled = self._ask(random_sampler(config, number, draw), number, trial_id, fresh=fresh)
        raise SpaceExhausted(
            f"no configuration is left: {DRAWS} draws gave only ones that have been tried; widen the space, or set "
            "search.repeat: true to train them again"
        )

    def _ask(self, sampler: BaseSampler, number: int, trial_id: int, *, fresh: bool) -> Sampled:
        self._study.sampler = sampler
        known = new_trial(number, trial_id) if fresh else None
        return sample(self._study, self._plan.space, trial_id, known=known, view=self._view)

    def _known(self, parameters: Parameters, trial_id: int) -> bool:
        """Whether a trial that has not failed has the same parameters."""
        if not _may_come_twice(parameters):
            return False
        values = {name: kind.to_external_repr(value) for name, (value, kind) in parameters.items()}
        trials = self._study._storage.get_all_trials(self._study._study_id, deepcopy=False)
        others = (trial for trial in trials if trial._trial_id != trial_id and trial.state is not TrialState.FAIL)
        return any(is_same(self._plan.space, trial.params, values) for trial in others)


def _may_come_twice(parameters: Parameters) -> bool:
    """Whether none of them is a real number."""
    return not any(isinstance(kind, FloatDistribution) and kind.step is None for _, kind in parameters.values())


def _view_of(plan: Plan, paused: Callable[[], Collection[int]]) -> View:
    """What the study's sampler is shown of its trials: a fair order where halving stops them, else what they are."""
    if len(plan.objectives) > 1:
        return _without_curves
    rungs: Sequence[int] = rungs_of(plan)
    if not rungs or plan.config.search.sampler.name != "tpe":
        return list
    standings = Standings(rungs, plan.direction)
    return lambda trials: standings.shown(trials, frozenset(paused()))


def _without_curves(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """TPE orders pruned trials by what they reported, which Optuna calls an error in a study of several objectives."""
    return [_without_curve(trial) if trial.state is TrialState.PRUNED else trial for trial in trials]


def _without_curve(trial: FrozenTrial) -> FrozenTrial:
    bare = copy.copy(trial)
    bare.intermediate_values = {}
    return bare
