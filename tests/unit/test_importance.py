"""What is known to matter is told from chance, and what is not, is not."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import TrialState, create_trial
from summaries import trial

from storage.history import TrialRow
from study._best_region import region
from study._ped_anova import column_of, divergences
from study.importance import ALL, LEAST_TRIALS, THE_MODEL, Importance, importances
from study.screen.importance import importance_lines

SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 1e-1, log=True),
    "weight_decay": FloatDistribution(1e-6, 1e-2, log=True),
    "optimizer": CategoricalDistribution(["sgd", "adam", "adamw"]),
    "batch_size": CategoricalDistribution([32, 64, 128]),
    "warmup": FloatDistribution(0.0, 0.2, step=0.05),
}
FAMILIES: dict[str, BaseDistribution] = {
    "model": CategoricalDistribution(["cnn", "mlp"]),
    "cnn.depth": IntDistribution(1, 6),
    "mlp.width": IntDistribution(8, 512, log=True),
}


def drawn(distribution: BaseDistribution, random: np.random.Generator) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[random.integers(len(distribution.choices))]
    low, high = float(distribution.low), float(distribution.high)  # type: ignore[attr-defined]
    log = distribution.log  # type: ignore[attr-defined]
    if distribution.step is not None and not isinstance(distribution, IntDistribution):  # type: ignore[attr-defined]
        return round(0.05 * int(random.integers(5)), 2)
    value = np.exp(random.uniform(np.log(low), np.log(high))) if log else random.uniform(low, high)
    return round(value) if isinstance(distribution, IntDistribution) else float(value)


def by_lr(parameters: Mapping[str, Any]) -> float:
    return -float((np.log10(parameters["lr"]) + 2.5) ** 2)


def studied(
    trials: int, value: Callable[[Mapping[str, Any]], float], *, families: bool = False, seed: int = 0
) -> list[TrialRow]:
    """Complete trials at random points, with a little noise."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(trials):
        parameters = {name: drawn(distribution, random) for name, distribution in SPACE.items()}
        if families:
            parameters["model"] = drawn(FAMILIES["model"], random)
            own = "cnn.depth" if parameters["model"] == "cnn" else "mlp.width"
            parameters[own] = drawn(FAMILIES[own], random)
        noise = 0.2 * float(random.normal())
        rows.append(trial(number, value=value(parameters) + noise, parameters=parameters))
    return rows


def of(rows: Sequence[TrialRow], *, families: bool = False) -> list[Importance]:
    return importances(rows, SPACE | FAMILIES if families else SPACE, "maximize")


def told(group: Importance) -> list[str]:
    return [parameter.name for parameter in group.parameters if parameter.told]


def test_the_only_parameter_that_matters_is_told_from_chance() -> None:
    (group,) = of(studied(80, by_lr))

    assert (group.group, group.trials, group.complete, group.best, group.note) == (THE_MODEL, 80, 80, 8, None)
    assert told(group) == ["lr"]
    assert group.parameters[0].share > 0.5
    assert sum(parameter.share for parameter in group.parameters) == pytest.approx(1)


def test_where_nothing_matters_nothing_is_told_and_it_says_so() -> None:
    groups = [of(studied(60, lambda _: 0.0, seed=seed))[0] for seed in range(20)]

    quiet = [group for group in groups if not told(group)]
    assert len(quiet) >= 16  # one in twenty is expected to name a parameter
    assert quiet[0].note == "no parameter can be told from chance with 60 trials; the shares mean nothing"


def test_with_too_few_trials_there_are_no_numbers() -> None:
    (group,) = of(studied(LEAST_TRIALS - 1, by_lr))

    assert group.parameters == ()
    assert group.note == "too few trials to tell anything: 29, and with these parameters at least 30 are needed"


def test_a_study_without_a_complete_trial_says_so() -> None:
    (pruned,) = of([trial(number, TrialState.PRUNED, parameters={"lr": 0.01}) for number in range(50)])

    (nothing,) = of([])
    assert nothing.note == "no complete trial yet among the 0 that count, so there is no best tenth"
    assert pruned.note == "no complete trial yet among the 50 that count, so there is no best tenth"


def test_a_familys_own_parameter_is_judged_among_its_trials() -> None:
    def value(parameters: Mapping[str, Any]) -> float:
        return float(parameters.get("cnn.depth", 3.5)) + (2.0 if parameters["model"] == "mlp" else 0.0)

    every, *families = of(studied(160, value, families=True), families=True)

    named = {group.group: told(group) for group in families}
    assert (every.group, told(every)) == (ALL, ["model"])
    assert {name for parameter in every.parameters for name in [parameter.name]} == {*SPACE, "model"}
    assert named == {"cnn": ["cnn.depth"], "mlp": []}


def test_pruned_trials_count_as_worse_than_complete_ones_and_failed_ones_do_not_count() -> None:
    rows = studied(90, by_lr)
    ended = sorted(rows, key=lambda row: row.value or 0)
    pruned = {row.number for row in ended[:70]}
    stopped = [
        trial(row.number, TrialState.PRUNED, parameters=row.parameters, values={1: row.value or 0.0})
        if row.number in pruned
        else row
        for row in rows
    ]
    failed = [trial(100 + n, TrialState.FAIL, parameters={"lr": 1e-4}, failure="error") for n in range(5)]
    memory = [trial(200 + n, TrialState.PRUNED, parameters={"lr": 1e-4}, failure="oom") for n in range(5)]

    (group,) = of([*stopped, *failed, *memory])

    assert (group.trials, group.complete, group.best) == (90, 20, 9)
    assert told(group) == ["lr"]


def test_what_is_ranked_can_be_chosen_for_each_objective() -> None:
    rows = studied(80, by_lr)

    def deeper(row: TrialRow) -> float:
        return float(row.parameters["warmup"])

    (group,) = importances(rows, SPACE, "minimize", target=deeper)

    assert told(group) == ["warmup"]


def test_without_pruned_trials_only_complete_ones_are_ranked() -> None:
    rows = [*studied(40, by_lr), *(trial(50 + n, TrialState.PRUNED, parameters={"lr": 1e-4}) for n in range(40))]

    (group,) = importances(rows, SPACE, "maximize", pruned=False)

    assert (group.trials, group.complete) == (40, 40)


@pytest.mark.filterwarnings("ignore:Some regimes")
@pytest.mark.parametrize("trials", [12, 200])
def test_the_numbers_are_optunas(trials: int) -> None:
    rows = studied(trials, by_lr, families=True)
    space = SPACE | FAMILIES
    study = optuna.create_study(direction="maximize")
    for row in rows:
        parameters = dict(row.parameters)
        distributions = {name: space[name] for name in parameters}
        study.add_trial(create_trial(value=row.value, params=parameters, distributions=distributions))
    ranked = sorted(rows, key=lambda row: -(row.value or 0))
    best = np.arange(trials)[None, :] < np.ceil(0.1 * trials)

    theirs = PedAnovaImportanceEvaluator().evaluate(study)

    for name, distribution in space.items():
        column = column_of(distribution, [row.parameters.get(name) for row in ranked])
        ours = divergences(column, np.ones((1, trials)), best.astype(np.float64))
        assert ours[0] == pytest.approx(theirs[name], rel=1e-6, abs=1e-12), name


def test_the_best_region_is_told_in_words() -> None:
    number, whole = FloatDistribution(0.0, 1.0), IntDistribution(1, 9)
    everywhere = [place / 100 for place in range(101)]

    assert region(number, [0.9, 0.95, 0.92], everywhere) == "0.9 to 0.95 (high)"
    assert region(whole, [2, 2], range(1, 10)) == "2 (low)"
    assert region(SPACE["optimizer"], ["adam", "adam", "sgd"], []) == "adam 2 of 3, sgd 1 of 3"
    assert region(number, [], everywhere) == "none of the best has it"


def test_the_table_has_what_is_told_first_and_no_region_for_chance() -> None:
    lines = [line.plain for line in importance_lines(of(studied(80, by_lr)))]

    assert lines[1] == "importance, the model: 80 trials, 80 complete, the best tenth is 8"
    assert lines[2].split() == ["parameter", "share", "+/-", "told", "from", "chance", "best", "tenth"]
    assert lines[3].split()[0] == "lr"
    assert lines[3].rstrip().endswith("(middle)")
    assert lines[4].rstrip().endswith("no")
