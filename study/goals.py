"""When a study has reached what it was to reach."""

from collections.abc import Iterable, Mapping
from typing import Any

from study.plan import Plan


def goal_reached(plan: Plan, trials: Iterable[Mapping[str, Any]]) -> str | None:
    """Why no more trials are needed, by ``budget.until``; None while they are.

    Args:
        plan: The study.
        trials: User attributes of complete trials, which hold all their metrics.
    """
    for attributes in trials:
        for metric, target in (plan.config.budget.until or {}).items():
            value = attributes.get(metric)
            maximize = plan.kind.metrics[metric] == "maximize"
            if value is not None and (value >= target if maximize else value <= target):
                return f"{metric} {value:.4g} reached {target:g}"
    return None
