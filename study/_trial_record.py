"""A trial as JSON: what its picture is drawn from and its files tell."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from objectives._fit_settings import EpochResult
from study._training import trial_seed
from study.plan import Plan


def trial_record(
    plan: Plan,
    number: int,
    sampled: Mapping[str, Any],
    *,
    state: str,
    history: Sequence[Mapping[str, Any]] = (),
    value: float | None = None,
    best_epoch: int | None = None,
    diagnostics: Mapping[str, Any] | None = None,
    reason: str | None = None,
) -> dict[str, Any]:
    """The record.

    Args:
        number: The trial's.
        sampled: Its sampled hyperparameters.
        state: As people see it, such as ``FAIL (crash)``.
        history: Its epochs, as `epoch_json` gives them.
        value: The study's metric at the best epoch.
        diagnostics: Of the validation events after the best epoch.
        reason: Why it failed.
    """
    about = {"study": plan.config.name, "trial": number, "state": state, "metric": plan.metric}
    result = {"direction": plan.direction, "value": value, "best_epoch": best_epoch, "reason": reason}
    configuration = {
        "study": plan.config.name,
        "trial": number,
        "seed": str(trial_seed(plan.config.study.seed, number)),
        "sampled": dict(sampled),
        "hyperparameters": plan.space.resolved(sampled) if sampled else {},
    }
    return about | result | {"history": list(history), "diagnostics": diagnostics, "configuration": configuration}


def epoch_json(result: EpochResult) -> dict[str, Any]:
    """An epoch as JSON that browsers read: a metric that is undefined is None."""
    tree = result.to_json()
    return tree | {"metrics": {name: value if math.isfinite(value) else None for name, value in result.metrics.items()}}
