"""Parameters for a claimed trial, from the study's sampler."""

from typing import Any

import optuna

from storage import attempts
from storage._optuna import new_trial
from storage.attempts import Claim
from storage.database import Database
from study._sampling import Sampled, sample
from study.plan import Plan
from study.search import make_sampler

AHEAD = ("tpe", "random")
"""Samplers that write nothing and count nothing, so that a trial's parameters may be proposed before it is claimed."""
NO_TRIAL = -1
"""Stands for the id of a trial that is not there yet."""


class Proposals:
    """Proposes parameters: of a trial that has been claimed, or of the next one while the workers train.

    The default sampler takes 50 ms for a trial at first and a second at 10,000 trials, so a worker should not wait for
    it. What is proposed ahead has not seen the trials that end meanwhile; a study of several workers has that anyway.
    """

    def __init__(self, database: Database, study: optuna.Study, plan: Plan) -> None:
        self._database, self._study, self._plan = database, study, plan
        self._ahead: tuple[int, Sampled] | None = None
        self._can_be_ahead = plan.config.search.sampler.name in AHEAD

    def propose(self, claim: Claim) -> dict[str, Any]:
        """The trial's sampled parameters, written to the database together; those it has already stay as they are.

        Raises:
            LeaseLost: Somebody else has taken over the trial.
        """
        values, new = self._for(claim)
        if new:
            attempts.sample(self._database, claim, new)
        return values

    def prepare(self, number: int) -> None:
        """Propose for the trial of this number, which is still to be started, unless that has been done."""
        if self._can_be_ahead and (self._ahead is None or self._ahead[0] != number):
            self._ahead = number, self._sample(number, NO_TRIAL, fresh=True)

    def _for(self, claim: Claim) -> Sampled:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == claim.number and claim.fresh:
            return ahead[1]
        return self._sample(claim.number, claim.trial_id, fresh=claim.fresh)

    def _sample(self, number: int, trial_id: int, *, fresh: bool) -> Sampled:
        self._study.sampler = make_sampler(self._plan.config, number, self._plan.space)
        known = new_trial(number, trial_id) if fresh else None
        return sample(self._study, self._plan.space, trial_id, known=known)
