"""Whether a trial is stopped after an epoch: our halving, or any of Optuna's pruners."""

from typing import Protocol

import optuna
from optuna.pruners import BasePruner, SuccessiveHalvingPruner

from storage._rungs import RungReader
from storage.attempts import Claim
from storage.database import Database
from study._halving import Halving
from study.plan import Plan


class Pruning(Protocol):
    """Decides for all trials of one study, as an agent needs it."""

    def stops(self, claim: Claim, epoch: int, value: float) -> bool:
        """Whether the trial ends after this epoch, whose value is in the database."""
        ...


class HalvingPruning:
    """Asynchronous successive halving: one statement at each rung, and none elsewhere, however large the study."""

    def __init__(self, database: Database, plan: Plan, study_id: int, halving: Halving) -> None:
        self._database, self._halving = database, halving
        self._rungs = halving.rungs(plan.config.training.epochs)
        self._reader = RungReader(study_id, self._rungs)

    def stops(self, claim: Claim, epoch: int, value: float) -> bool:
        """See `Pruning`."""
        if epoch not in self._rungs:
            return False
        with self._database.read() as connection:
            self._reader.read(connection)
        return self._halving.stops(value, self._reader.others(epoch, claim.trial_id))


class OptunaPruning:
    """Any pruner of Optuna's, which looks at all trials of the study."""

    def __init__(self, study: optuna.Study, epochs: int) -> None:
        self._study, self._epochs = study, epochs

    def stops(self, claim: Claim, epoch: int, value: float) -> bool:
        """See `Pruning`."""
        if epoch >= self._epochs:
            return False
        return self._study.pruner.prune(self._study, self._study._storage.get_trial(claim.trial_id))


def make_pruning(database: Database, plan: Plan, study: optuna.Study, study_id: int) -> Pruning:
    """The study's pruning, made from its pruner."""
    halving = _halving(plan, study.pruner)
    if halving is not None:
        return HalvingPruning(database, plan, study_id, halving)
    return OptunaPruning(study, plan.config.training.epochs)


def _halving(plan: Plan, pruner: BasePruner) -> Halving | None:
    """Our rule, where the pruner is the one of Optuna's that decides the same."""
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
    )
