"""The epochs at which a study's halving decides, which its agents and workers must agree on."""

from typing import Protocol

from optuna.pruners import BasePruner, SuccessiveHalvingPruner

from objectives._task import Direction
from study._halving import Halving
from study._plan import Plan
from study.config import StudyConfig
from study.search import make_pruner, spare_of


class Searched(Protocol):
    """What decides about pruning: a plan has it, and so has a stored study."""

    @property
    def config(self) -> StudyConfig:
        """The study's configuration."""
        ...

    @property
    def direction(self) -> Direction:
        """Of its metric."""
        ...


def halving_of(plan: Searched, pruner: BasePruner) -> Halving | None:
    """Our rule, where the pruner is the one of Optuna's that decides the same; else None."""
    if plan.config.search.pruner.name != "asha" or not isinstance(pruner, SuccessiveHalvingPruner):
        return None
    if pruner._min_resource is None:  # "auto": it waits for the first complete trial
        return None
    return Halving(
        plan.direction,
        pruner._min_resource,
        pruner._reduction_factor,
        pruner._min_early_stopping_rate,
        pruner._bootstrap_count,
        spare_of(plan.config),
    )


def rungs_of(plan: Plan) -> tuple[int, ...]:
    """The epochs after which a trial of the study may be stopped by halving; none with another pruner."""
    halving = halving_of(plan, make_pruner(plan.config))
    return () if halving is None else halving.rungs(plan.config.training.epochs)
