"""Small real studies of several objectives, and with constraints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from lab import CNN, Lab, started
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from objectives._fit_settings import EpochResult
from storage.database import Database
from study import _training
from study._messages import Done, Failed, HandedBack, Order, TrialJob
from study._preload import Warm
from study._training import load_trial_data
from study._worker import _attempt
from study.plan import build_plan
from study.stored import decoded, load_stored
from study.summary import Summary, summarise

FIXED = {"cnn.kernel": 3, "cnn.pooling": "max", "cnn.window": 2, "cnn.head": 0, "cnn.batchnorm": True}
WIDTHS = CNN | FIXED | {"cnn.width": {"choice": [4, 8, 16]}, "lr": {"float": [0.001, 0.1], "log": True}}
BOTH = {"metrics": ["accuracy", "parameters"], "seed": 3}


def summary_of(lab: Lab, name: str = "q") -> Summary:
    database = Database(lab.url)
    try:
        return summarise(database, load_stored(database, name))
    finally:
        database.close()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "lab")


def run(lab: Lab, trials: int = 8, **sections: Any) -> None:
    lab.create(**{"space": WIDTHS, "study": BOTH, "budget": {"trials": trials}, **sections})
    lab.work(workers=1)


def test_each_complete_trial_has_the_values_of_all_objectives_at_its_best_epoch(lab: Lab) -> None:
    run(lab, study={"metrics": ["accuracy", "log_loss", "parameters", "latency_ms"]}, trials=3)

    for row in lab.trials():
        assert row.state is TrialState.COMPLETE
        names = ("accuracy", "log_loss", "parameters", "latency_ms")
        assert row.all_values == tuple(row.attributes[name] for name in names)
        assert row.value == row.all_values[0] == max(row.values.values())
        assert row.all_values[3] > 0


def test_stock_optuna_finds_the_same_front(lab: Lab, stock: Callable[[str], RDBStorage]) -> None:
    run(lab)

    study = optuna.load_study(study_name="q", storage=stock(lab.url))
    summary = summary_of(lab)
    assert study.metric_names == ["accuracy", "parameters"]
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert sorted(trial.number for trial in summary.front) == sorted(trial.number for trial in study.best_trials)
    assert summary.best is summary.front[0]
    assert summary.best.value == max(trial.values[0] for trial in study.trials)


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii", "nsgaiii", "random"])
def test_a_sampler_of_several_objectives_runs_the_whole_budget(lab: Lab, sampler: str) -> None:
    options = {"nsgaii": {"population_size": 4}, "nsgaiii": {"population_size": 4}}.get(sampler, {})

    run(lab, trials=12, search={"sampler": {"name": sampler, **options}}, training={"epochs": 1})

    assert [trial.state for trial in lab.trials()] == [TrialState.COMPLETE] * 12


def test_trials_pruned_by_the_first_objective_do_not_stop_the_sampler(lab: Lab) -> None:
    pruner = {"name": "asha", "metric": "accuracy"}

    run(lab, trials=14, search={"pruner": pruner}, training={"epochs": 4})

    trials = lab.trials()
    assert len(trials) == 14
    assert any(trial.state is TrialState.PRUNED for trial in trials)
    assert {trial.state for trial in trials} <= {TrialState.PRUNED, TrialState.COMPLETE}


def test_optunas_own_pruners_take_the_first_objective(lab: Lab) -> None:
    pruner = {"name": "percentile", "percentile": 10.0, "metric": "accuracy", "n_startup_trials": 2}

    run(lab, trials=8, search={"pruner": pruner}, training={"epochs": 3})

    states = {trial.state for trial in lab.trials()}
    assert states == {TrialState.PRUNED, TrialState.COMPLETE}


def test_the_weights_of_the_whole_front_are_kept(lab: Lab) -> None:
    run(lab, trials=8, checkpoint={"keep": 1})

    kept = {trial.number for trial in lab.trials() if trial.weights is not None}
    assert kept == {trial.number for trial in summary_of(lab).front}


def test_a_network_with_too_many_parameters_is_never_trained(lab: Lab, stock: Callable[[str], RDBStorage]) -> None:
    queue = [{"cnn.width": width} for width in (4, 16, 16, 16, 16, 16, 16, 4)]
    lab.create(space=WIDTHS, queue=queue, constraints={"max_parameters": 200}, budget={"trials": 8})

    lab.work(workers=1)

    small, large, *_ = lab.trials()
    trials = optuna.load_study(study_name="q", storage=stock(lab.url)).trials
    assert started(lab.trials()) == 8
    assert [trial.failure for trial in lab.trials()] == [None, *["infeasible"] * 6, None]
    assert large.state is TrialState.PRUNED
    assert not large.values
    assert not large.all_values
    assert large.attributes["reason"] == (
        f"{large.attributes['parameters']:,} parameters, more than constraints.max_parameters 200"
    )
    assert trials[0].constraints == {"parameters": small.attributes["parameters"] / 200 - 1}
    assert trials[0].constraints["parameters"] <= 0 < trials[1].constraints["parameters"]
    assert lab.record().state == "running"


def test_a_network_that_takes_too_long_is_never_trained(lab: Lab) -> None:
    run(lab, trials=2, study={}, constraints={"max_latency_ms": 1e-6})

    for trial in lab.trials():
        assert (trial.state, trial.failure) == (TrialState.PRUNED, "infeasible")
        assert not trial.values
        assert "ms for one event, more than constraints.max_latency_ms" in trial.attributes["reason"]


def test_tpe_learns_which_networks_are_infeasible(lab: Lab) -> None:
    space = CNN | FIXED | {"cnn.width": {"int": [2, 64]}}
    search = {"sampler": {"name": "tpe", "random_share": 0, "n_startup_trials": 10}, "pruner": "none"}

    run(
        lab,
        30,
        study={"seed": 1},
        space=space,
        search=search,
        training={"epochs": 1},
        constraints={"max_parameters": 250},
    )

    broken = [trial.failure == "infeasible" for trial in lab.trials()]
    assert sum(broken[:10]) >= 5
    assert sum(broken[-10:]) < sum(broken[:10])


def attempt(lab: Lab, folder: Path, resume: str | None = None, admit: bool = True, stop_at: int = 10**6) -> object:
    """One attempt at trial 0 in this process, handed back before a batch."""
    stored = decoded(lab.record())
    plan = build_plan(stored.config, stored.folder)
    warm = Warm(plan, stored.facts, load_trial_data(plan, stored.facts), ("everything",))
    sampled = {parameter.name: parameter.default for parameter in plan.space.searched}
    job = TrialJob(0, sampled, str(folder), resume, admit=admit)
    return _attempt(Silent(stop_at), warm, job, "cpu")  # type: ignore[arg-type]


class Silent:
    """An agent that lets a trial train until a certain batch."""

    def __init__(self, stop_at: int) -> None:
        self.left = stop_at

    def send(self, message: object) -> None:
        """Say nothing."""

    def ask(self, epoch: EpochResult) -> Order:
        return Order.CONTINUE

    def wants_trial_back(self) -> bool:
        self.left -= 1
        return self.left == 0


def test_the_latency_of_a_trial_that_goes_on_is_the_one_measured_first(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.create(space=CNN, study={"metrics": ["accuracy", "latency_ms"]}, constraints={"max_latency_ms": 2.0})
    measured = iter([1.5, 99.0])
    monkeypatch.setattr(_training, "latency_ms", lambda *_: next(measured))

    dropped = attempt(lab, lab.folder / "first", stop_at=3)
    assert isinstance(dropped, HandedBack)
    ended = attempt(lab, lab.folder / "second", dropped.checkpoint)

    assert isinstance(ended, Done)
    assert ended.values[1] == 1.5
    assert ended.constraints == {"latency_ms": -0.25}


def test_whoever_trains_a_trial_again_is_not_refused_for_its_cost(lab: Lab) -> None:
    lab.create(space=CNN, constraints={"max_latency_ms": 1e-6})

    refused = attempt(lab, lab.folder / "first")
    again = attempt(lab, lab.folder / "second", admit=False)

    assert isinstance(refused, Failed)
    assert (refused.failure, refused.constraints["latency_ms"] > 0) == ("infeasible", True)
    assert isinstance(again, Done)


def test_an_objective_that_is_undefined_at_the_best_epoch_ends_the_trial_as_nan(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.create(space=CNN, study={"metrics": ["accuracy", "latency_ms"]})
    monkeypatch.setattr(_training, "latency_ms", lambda *_: float("nan"))

    ended = attempt(lab, lab.folder / "first")

    assert isinstance(ended, Failed)
    assert ended.failure == "nan"
    assert ended.reason.startswith("latency_ms is not a number for the validation events, after the best epoch")


def test_halving_that_pauses_takes_trials_of_several_objectives(lab: Lab) -> None:
    pruner = {"name": "asha", "metric": "accuracy", "pause": True}

    run(lab, trials=10, search={"pruner": pruner}, training={"epochs": 4})

    trials = lab.trials()
    assert {trial.state for trial in trials} == {TrialState.PRUNED, TrialState.COMPLETE}
    assert all(len(trial.all_values) == 2 for trial in trials)
