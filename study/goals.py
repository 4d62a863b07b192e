"""What ends a search: goals that are reached, and limits in words."""

from collections.abc import Iterator, Sequence

from optuna.trial import TrialState

from storage.history import TrialRow
from study._improvement import improvement
from study.config import BudgetSection
from study.plan import Plan


def has_goal(budget: BudgetSection) -> bool:
    """Whether results can end the search."""
    return bool(budget.until) or budget.no_improvement is not None


def goal_reached(plan: Plan, trials: Sequence[TrialRow]) -> str | None:
    """Why no more trials are needed, by ``budget.until`` or ``budget.no_improvement``; None while they are.

    Args:
        plan: The study.
        trials: All of the study's, as they stand in the database.
    """
    return _target(plan, trials) or _no_improvement(plan, trials)


def _target(plan: Plan, trials: Sequence[TrialRow]) -> str | None:
    targets = plan.config.budget.until or {}
    for trial in trials if targets else ():
        if not trial.ours or trial.state is not TrialState.COMPLETE:
            continue
        for metric, target in targets.items():
            value = trial.attributes.get(metric)
            maximize = plan.kind.metrics[metric] == "maximize"
            if value is not None and (value >= target if maximize else value <= target):
                return f"{metric} {value:.4g} reached {target:g}"
    return None


def _no_improvement(plan: Plan, trials: Sequence[TrialRow]) -> str | None:
    patience = plan.config.budget.no_improvement
    if patience is None:
        return None
    found = improvement(trials, plan.direction)
    if found.since is None:
        return f"none of {found.trials} trials was completed" if found.trials >= patience else None
    if found.since < patience:
        return None
    return f"no better {plan.metric} than {found.best:.4g} in the last {found.since} trials"


def limits(budget: BudgetSection) -> Iterator[str]:
    """All that may end the search, in words."""
    if budget.trials is not None:
        yield f"{budget.trials} trials"
    if budget.gpu_hours is not None:
        yield f"{budget.gpu_hours:g} GPU hours"
    if budget.wall_time is not None:
        yield f"{hours(budget.wall_time)} from the first trial on"
    if budget.no_improvement is not None:
        yield f"{budget.no_improvement} trials without a better one"
    for metric, target in (budget.until or {}).items():
        yield f"{metric} {target:g}"


def hours(seconds: float) -> str:
    """A duration as the study file takes it: 90s, 30m, 1h30m, 2d."""
    if seconds % 1:
        return f"{seconds:g}s"
    text, left = "", int(seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        text += f"{count}{unit}" if count else ""
    return text
