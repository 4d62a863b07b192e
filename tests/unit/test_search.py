import importlib.util
from typing import Any

import optuna
import pytest
from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner, PatientPruner, SuccessiveHalvingPruner
from optuna.samplers import GridSampler, RandomSampler, TPESampler

from models._family import families
from storage.errors import ConfigError
from study.config import StudyConfig
from study.search import make_pruner, make_sampler
from study.space import Space, build_space

SAMPLERS = ("tpe", "random", "gp", "nsgaii", "nsgaiii", "qmc", "brute_force")
CONSTANTS = {
    "optimizer": "adam",
    "weight_decay": 0.01,
    "schedule": "cosine",
    "normalize": "none",
    "flip_horizontal": False,
    "flip_vertical": False,
    "rotate": False,
    "mlp.width": 32,
    "mlp.batchnorm": True,
    "mlp.dropout": 0.0,
    "mlp.activation": "relu",
}
GRID = {
    **CONSTANTS,
    "lr": {"choice": [0.001, 0.01]},
    "batch_size": {"choice": [32, 64]},
    "mlp.depth": {"int": [1, 3], "step": 2},
    "label_smoothing": {"float": [0.0, 0.2], "step": 0.1},
}


def config(trials: int | None = 100, **search: Any) -> StudyConfig:
    budget = {"trials": trials, "gpu_hours": 1.0}
    return StudyConfig.model_validate({"data": {"path": "x"}, "search": search, "budget": budget})


def space(**given: Any) -> Space:
    return build_space(given, {"mlp": families()["mlp"]})


@pytest.fixture
def finite_space() -> Space:
    steps = {"lr": {"choice": [1e-3, 1e-2]}, "weight_decay": 0.0, "momentum": {"float": [0.8, 0.9], "step": 0.1}}
    own = {"cnn.growth": 1.5, "cnn.dropout": {"float": [0.0, 0.5], "step": 0.25}, "mlp.dropout": {"choice": [0, 0.5]}}
    return build_space({**steps, **own}, {name: families()[name] for name in ("cnn", "mlp")})


def mistake(**search: Any) -> str:
    given = config(**search)
    with pytest.raises(ConfigError) as caught:
        make_pruner(given) if "pruner" in search else make_sampler(given, 0, space())
    return str(caught.value)


def run(search: StudyConfig, space: Space, count: int) -> list[dict[str, Any]]:
    """Parameters of trials, each proposed by a sampler of its own as agents do."""
    study = optuna.create_study()
    for number in range(count):
        study.sampler = make_sampler(search, number, space)
        trial = study.ask()
        space.sample(trial)
        # Not `tell`: it calls the sampler's after_trial, which agents do not.
        study._storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.COMPLETE, [number % 3])
    return [trial.params for trial in study.trials]


def test_the_default_sampler_is_univariate_tpe_with_constant_liar_and_forty_random_trials() -> None:
    sampler = next(s for n in range(20) if isinstance(s := make_sampler(config(1000), n, space()), TPESampler))

    assert (sampler._multivariate, sampler._constant_liar, sampler._n_startup_trials) == (False, True, 40)


@pytest.mark.parametrize(("trials", "startup"), [(10, 5), (50, 10), (200, 40), (5000, 40), (None, 40)])
def test_small_budgets_begin_with_fewer_random_trials(trials: int | None, startup: int) -> None:
    samplers = [make_sampler(config(trials), number, space()) for number in range(10)]

    assert {s._n_startup_trials for s in samplers if isinstance(s, TPESampler)} == {startup}


@pytest.mark.parametrize(("share", "low", "high"), [(0.25, 70, 130), (0.0, 0, 0), (1.0, 400, 400), (None, 70, 130)])
def test_a_share_of_trials_stays_random(share: float | None, low: int, high: int) -> None:
    sampler = {"name": "tpe"} if share is None else {"name": "tpe", "random_share": share}
    samplers = [make_sampler(config(sampler=sampler), number, space()) for number in range(400)]

    assert low <= sum(isinstance(sampler, RandomSampler) for sampler in samplers) <= high


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_proposes_for_a_conditional_space(name: str, finite_space: Space) -> None:
    proposed = run(config(sampler=name), finite_space, 12)

    for params in proposed:
        prefix = params["model"]
        assert {key.partition(".")[0] for key in params if "." in key} == {prefix}
    assert len({str(params) for params in proposed}) > 8


@pytest.mark.parametrize("name", ["tpe", "random", "gp", "nsgaii", "nsgaiii", "qmc"])
def test_numbers_in_a_range_are_proposed_inside_it(name: str) -> None:
    for params in run(config(sampler=name), space(), 8):
        assert 1e-4 <= params["lr"] <= 1e-1
        assert 32 <= params["mlp.width"] <= 256


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_same_study_seed_gives_the_same_proposals(name: str, finite_space: Space) -> None:
    assert run(config(sampler=name), finite_space, 4) == run(config(sampler=name), finite_space, 4)


def test_every_sampler_of_optuna_has_a_name() -> None:
    message = mistake(sampler="no-such-sampler")

    assert message.endswith("Accepted: brute_force, cma_es, gp, grid, nsgaii, nsgaiii, partial_fixed, qmc, random, tpe")


def test_every_pruner_of_optuna_has_a_name() -> None:
    names = "asha, hyperband, median, none, nop, patient, percentile, successive_halving, threshold, wilcoxon"

    assert mistake(pruner="no-such-pruner").endswith(f"Accepted: {names}")


@pytest.mark.parametrize(
    ("given", "meant"), [("cmaes", "cma_es"), ("NSGAII", "nsgaii"), ("randm", "random"), ("TPE", "tpe")]
)
def test_an_unknown_sampler_is_refused_with_the_nearest(given: str, meant: str) -> None:
    assert f"search.sampler is {given}; did you mean {meant}?" in mistake(sampler=given)


def test_a_missing_package_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    assert mistake(sampler="cma_es") == "search.sampler cma_es needs the package cmaes: pip install cmaes"


@pytest.mark.parametrize(
    ("search", "problem"),
    [
        ({"sampler": {"name": "tpe", "n_startup": 3}}, "did you mean n_startup_trials? Accepted: "),
        ({"sampler": {"name": "tpe", "random_shar": 1}}, "did you mean random_share? Accepted: "),
        ({"sampler": {"name": "tpe", "weights": "x"}}, "has no option weights"),
        ({"sampler": {"name": "tpe", "n_startup_trials": "ten"}}, 'n_startup_trials is "ten"; it must be an integer'),
        ({"sampler": {"name": "tpe", "random_share": 2}}, "it must be a number from 0 to 1"),
        ({"sampler": {"name": "random", "seed": 3}}, "every trial's follows from study.seed"),
        ({"sampler": {"name": "random", "x": 3}}, "search.sampler random has no option x; Accepted: none"),
        ({"sampler": {"name": "nsgaii", "population_size": 1}}, "greater than or equal to 2"),
        ({"sampler": {"name": "qmc", "qmc_type": "abc"}}, "halton"),
        ({"sampler": "brute_force"}, "goes through all values of each parameter, and lr, momentum, weight_decay,"),
        ({"sampler": "partial_fixed"}, "a constant under space fixes a parameter"),
        ({"pruner": "medan"}, "search.pruner is medan; did you mean median?"),
        ({"pruner": {"name": "median", "foo": 1}}, "Accepted: n_startup_trials, n_warmup_steps, interval_steps"),
        ({"pruner": "percentile"}, "needs percentile: search.pruner: {name: percentile, percentile: …}"),
        ({"pruner": {"name": "percentile", "percentile": 250}}, "between 0 and 100"),
        ({"pruner": {"name": "percentile", "percentile": "a"}}, "it must be a number"),
        ({"pruner": "threshold"}, "Either lower or upper"),
        ({"pruner": "patient"}, "give another pruner, for example {name: patient, wrapped: {name: median}"),
        ({"pruner": {"name": "patient", "wrapped": "median"}}, "needs patience"),
        ({"pruner": {"name": "patient", "wrapped": "x", "patience": 1}}, "search.pruner is x"),
        ({"pruner": {"name": "asha", "min_resource": 0}}, "min_resource"),
        ({"pruner": {"name": "asha", "pause": 1}}, "pause is 1; it must be true or false"),
        ({"pruner": {"name": "asha", "spare": 2}}, "spare is 2; it must be a number from 0 to 1"),
        ({"pruner": {"name": "median", "spare": 0.5}}, "spare"),
        ({"pruner": {"name": "none", "x": 1}}, "Accepted: none"),
    ],
)
def test_options_that_do_not_fit_are_refused(search: dict[str, Any], problem: str) -> None:
    assert problem in mistake(**search)


def test_the_default_pruner_is_successive_halving_from_one_epoch_by_three() -> None:
    pruner = make_pruner(config())

    assert isinstance(pruner, SuccessiveHalvingPruner)
    assert (pruner._min_resource, pruner._reduction_factor) == (1, 3)


@pytest.mark.parametrize(
    ("given", "cls"),
    [
        ("none", NopPruner),
        ("nop", NopPruner),
        ("median", MedianPruner),
        ("hyperband", HyperbandPruner),
        ({"name": "asha", "reduction_factor": 4}, SuccessiveHalvingPruner),
        ("successive_halving", SuccessiveHalvingPruner),
        ({"name": "percentile", "percentile": 25}, optuna.pruners.PercentilePruner),
        ({"name": "threshold", "upper": 1}, optuna.pruners.ThresholdPruner),
        ("wilcoxon", optuna.pruners.WilcoxonPruner),
        ({"name": "patient", "wrapped": {"name": "median"}, "patience": 3}, PatientPruner),
        ({"name": "patient", "wrapped": "asha", "patience": 3}, PatientPruner),
    ],
)
def test_pruners_are_made_by_name_with_their_options(given: Any, cls: type) -> None:
    assert isinstance(make_pruner(config(pruner=given)), cls)


def test_hyperband_knows_the_number_of_epochs() -> None:
    pruner = make_pruner(config(pruner="hyperband"))

    assert isinstance(pruner, HyperbandPruner)
    assert pruner._max_resource == 12


def test_the_grid_visits_every_combination_of_the_studys_values_once() -> None:
    grid = space(**GRID)
    sampler = make_sampler(config(24, sampler="grid"), 0, grid)
    proposed = run(config(24, sampler="grid"), grid, 24)

    assert isinstance(sampler, GridSampler)
    assert len({tuple(sorted(params.items())) for params in proposed}) == 2 * 2 * 2 * 3


@pytest.mark.parametrize(
    ("changed", "trials", "problem"),
    [
        ({"lr": {"float": [0.001, 0.01]}}, 12, "grid goes through all values of each parameter, and lr may have any"),
        ({}, 25, "grid has 24 points; set budget.trials to 24 or fewer"),
        ({}, None, "grid has 24 points; set budget.trials to 24 or fewer"),
        ({"mlp.width": {"int": [1, 60000]}}, 12, "at most 100000"),
        (
            {"optimizer": {"choice": ["adam", "sgd"]}, "momentum": {"choice": [0.8, 0.9]}},
            12,
            "repeat those in which momentum does not count; give optimizer one value, or use brute_force",
        ),
    ],
)
def test_a_space_without_a_grid_is_refused(changed: dict[str, Any], trials: int | None, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_sampler(config(trials, sampler="grid"), 0, space(**{**GRID, **changed}))

    assert problem in str(caught.value)
