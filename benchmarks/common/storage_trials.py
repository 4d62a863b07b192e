"""One trial of 12 parameters and 20 epochs with successive halving, as stock Optuna and as our agent run it."""

from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from storage import attempts, claims, studies
from storage._optuna import new_trial
from storage._rungs import RungReader
from storage.claims import Refusal
from storage.database import Database
from storage.endings import Ending
from storage.studies import Budget
from storage.trials import open_storage
from study._halving import Halving
from study._sampling import sample
from study.pruning import Pruning

PARAMETERS, EPOCHS = 12, 20
DISTRIBUTIONS = {f"p{index}": FloatDistribution(0.0, 1.0) for index in range(PARAMETERS)}


class FreeSampler(BaseSampler):
    """Costs nothing, so that what is measured is the storage."""

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """None."""
        return {}

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: Any) -> dict[str, Any]:
        """Nothing."""
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> float:
        """Always the same."""
        return 0.5


class TwelveFloats:
    """A space as `sample` takes it."""

    def sample(self, trial: Any) -> dict[str, float]:
        """Ask for every parameter."""
        return {name: trial.suggest_float(name, 0.0, 1.0) for name in DISTRIBUTIONS}


def value_at(number: int, epoch: int) -> float:
    """A curve that is never stopped by halving: later trials are better."""
    return number + epoch / 100


def stock_trial(study: optuna.Study) -> None:
    """One trial as a user of plain Optuna writes it."""
    trial = study.ask()
    TwelveFloats().sample(trial)
    for epoch in range(1, EPOCHS + 1):
        trial.report(value_at(trial.number, epoch), epoch)
        trial.should_prune()
    study.tell(trial, float(trial.number))


class Ours:
    """One trial as our agent runs it: the same functions, without a worker."""

    def __init__(self, url: str, name: str = "bench", *, lease_s: float = 60.0, patience_s: float = 60.0) -> None:
        self.storage = open_storage(url, patience_s=patience_s)
        self.database = self.storage.database
        self.study = optuna.load_study(study_name=name, storage=self.storage, sampler=FreeSampler())
        self.study_id = studies.load_study(self.database, name).study_id
        self.halving = Halving("maximize")
        self.rung_epochs = self.halving.rungs(EPOCHS)
        self.rungs = RungReader(self.study_id, self.rung_epochs)
        self.pruning: Pruning | None = None
        self.lease_s = lease_s

    def claim(self) -> attempts.Claim | Refusal:
        """Claim a trial."""
        return claims.claim(
            self.database, self.study_id, agent_id="bench", slot=0, lease_s=self.lease_s, lost_retries=1000
        )

    def claimed(self) -> attempts.Claim:
        """Claim a trial, which there must be."""
        claim = self.claim()
        if isinstance(claim, Refusal):
            raise LookupError(claim)
        return claim

    def trial(self) -> None:
        """Claim, sample, report, decide, finish."""
        self.run(self.claimed())

    def run(self, claim: attempts.Claim) -> None:
        """All that follows a claim."""
        known = new_trial(claim.number, claim.trial_id) if claim.fresh else None
        _, parameters = sample(self.study, TwelveFloats(), claim.trial_id, known=known)  # type: ignore[arg-type]
        attempts.sample(self.database, claim, parameters)
        for epoch in range(1, EPOCHS + 1):
            self.epoch(claim, epoch)
        attempts.finish(self.database, claim, Ending(TrialState.COMPLETE, values=(float(claim.number),)))

    def epoch(self, claim: attempts.Claim, epoch: int) -> None:
        """Report, and decide: at a rung, or by another pruning that has been set."""
        value = value_at(claim.number, epoch)
        if self.pruning is not None:
            attempts.report(self.database, claim, epoch, value, self.pruning.reading(epoch))
            self.pruning.stops(claim, epoch, value)
            return
        at_rung = epoch in self.rung_epochs
        attempts.report(self.database, claim, epoch, value, self.rungs.read if at_rung else None)
        if at_rung:
            standing = self.rungs.standing(epoch, claim.trial_id, value)
            self.halving.stops(value, standing.others, standing.higher)


def new_study(url: str, name: str, trials: int | None = None) -> None:
    """An empty study that both sides may use."""
    studies.create_study(
        url,
        name,
        directions=["maximize"],
        metric_names=["value"],
        config={},
        facts={},
        budget=Budget(trials, None),
    )


def sqlalchemy_url(url: str) -> str:
    """The URL as stock Optuna takes it."""
    return Database(url).url.render_as_string(hide_password=False)
