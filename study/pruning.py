"""Whether a trial is stopped after an epoch: our halving, or any of Optuna's pruners."""

from typing import Protocol

import optuna
from optuna.pruners import BasePruner

from storage._rungs import RungReader
from storage._seen import SeenStudy
from storage.attempts import Claim, Read
from storage.trial_storage import TrialStorage
from study._halving import Halving
from study._pausing import Pausing
from study._rungs import halving_of
from study.plan import Plan
from study.search import make_pruner, pauses


class Pruning(Protocol):
    """Decides for all trials of one study, as an agent needs it.

    Attributes:
        pausing: Which of the stopped trials wait instead; None where none does.
    """

    pausing: Pausing | None

    def reading(self, epoch: int) -> Read | None:
        """What must be read in the transaction that reports an epoch; None for nothing."""
        ...

    def stops(self, claim: Claim, epoch: int, value: float) -> bool:
        """Whether the trial ends after this epoch, which has been reported; costs no statement."""
        ...


class HalvingPruning:
    """Asynchronous successive halving: one statement at each rung, and none elsewhere, however large the study.

    Where trials are paused it is three statements.
    """

    def __init__(self, halving: Halving, study_id: int, epochs: int, *, pauses: bool = False) -> None:
        self._halving = halving
        self._rungs = halving.rungs(epochs)
        self._reader = RungReader(study_id, self._rungs)
        self.pausing = Pausing(halving, self._reader, study_id) if pauses else None

    def reading(self, epoch: int) -> Read | None:
        """See `Pruning`."""
        if epoch not in self._rungs:
            return None
        return self._reader.read if self.pausing is None else self.pausing.read

    def stops(self, claim: Claim, epoch: int, value: float) -> bool:
        """See `Pruning`."""
        if epoch not in self._rungs or (value == value and self._halving.spares(epoch, claim.number)):
            return False
        standing = self._reader.standing(epoch, claim.trial_id, value)
        better = standing.higher if self._halving.direction == "maximize" else standing.lower
        return self._halving.stops(value, standing.others, better)


class OptunaPruning:
    """Any pruner of Optuna's, which looks at all trials of the study: they are kept in memory."""

    pausing: Pausing | None = None

    def __init__(self, pruner: BasePruner, storage: TrialStorage, name: str, epochs: int) -> None:
        self._seen, self._epochs = SeenStudy(storage, name), epochs
        self._study = optuna.Study(name, self._seen, pruner=pruner)  # type: ignore[arg-type]  # it answers to the same calls

    def reading(self, epoch: int) -> Read | None:
        """See `Pruning`."""
        return self._seen.read if epoch < self._epochs else None

    def stops(self, claim: Claim, epoch: int, value: float) -> bool:
        """See `Pruning`."""
        if epoch >= self._epochs:
            return False
        return self._study.pruner.prune(self._study, self._seen.get_trial(claim.trial_id))


def make_pruning(plan: Plan, storage: TrialStorage, name: str, study_id: int) -> Pruning:
    """The study's pruning, made from its pruner."""
    pruner, epochs = make_pruner(plan.config), plan.config.training.epochs
    halving = halving_of(plan, pruner)
    if halving is not None:
        return HalvingPruning(halving, study_id, epochs, pauses=pauses(plan.config))
    return OptunaPruning(pruner, storage, name, epochs)
