"""Parameters for a claimed trial, from the study's sampler."""

from typing import Any

import optuna

from storage._optuna import forget_cached_trials
from storage.attempts import Claim
from study.plan import Plan
from study.search import make_sampler


def propose(study: optuna.Study, plan: Plan, claim: Claim) -> dict[str, Any]:
    """The trial's sampled parameters, written to the database; those it has already stay as they are."""
    study.sampler = make_sampler(plan.config, claim.number, plan.space)
    forget_cached_trials(study)
    study.get_trials(deepcopy=False)  # Optuna's cache must have met the trial before it writes to it
    trial = optuna.Trial(study, claim.trial_id)
    return plan.space.sample(trial)
