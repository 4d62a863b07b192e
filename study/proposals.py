"""Parameters for a claimed trial, from the study's sampler."""

from typing import Any

import optuna

from storage import attempts
from storage._optuna import new_trial
from storage.attempts import Claim
from storage.database import Database
from study._sampling import sample
from study.plan import Plan
from study.search import make_sampler


def propose(database: Database, study: optuna.Study, plan: Plan, claim: Claim) -> dict[str, Any]:
    """The trial's sampled parameters, written to the database together; those it has already stay as they are.

    Raises:
        LeaseLost: Somebody else has taken over the trial.
    """
    study.sampler = make_sampler(plan.config, claim.number, plan.space)
    known = new_trial(claim.number, claim.trial_id) if claim.fresh else None
    values, new = sample(study, plan.space, claim.trial_id, known=known)
    if new:
        attempts.sample(database, claim, new)
    return values
