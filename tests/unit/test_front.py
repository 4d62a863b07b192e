from itertools import product
from typing import Any

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.study._multi_objective import _get_pareto_front_trials_by_trials
from optuna.trial import TrialState, create_trial
from summaries import trial

from storage.history import TrialRow
from study.front import dominates, front, losses
from study.leaders import front_of, leaders

UP, DOWN = "maximize", "minimize"


def rows(*values: tuple[float, ...]) -> list[TrialRow]:
    return [trial(number, value=each[0], all_values=each) for number, each in enumerate(values)]


def numbers(found: list[TrialRow]) -> list[int]:
    return [row.number for row in found]


def test_a_trial_that_is_worse_in_one_objective_and_better_in_none_is_dominated() -> None:
    assert dominates((1.0, 2.0), (1.0, 3.0))
    assert not dominates((1.0, 3.0), (2.0, 2.0))
    assert not dominates((1.0, 2.0), (1.0, 2.0))


@pytest.mark.parametrize("directions", [*product((UP, DOWN), repeat=2), (UP, DOWN, DOWN)])
@pytest.mark.parametrize("seed", range(5))
def test_the_front_is_the_one_that_optuna_finds(directions: tuple[Any, ...], seed: int) -> None:
    # Few different values, so that many are equal.
    values = [tuple((number * (7 + 4 * place) + seed) % 5 for place in range(len(directions))) for number in range(40)]
    trials = [create_trial(state=TrialState.COMPLETE, values=[*map(float, each)]) for each in values]
    for number, each in enumerate(trials):
        each.number = number
    theirs = _get_pareto_front_trials_by_trials(trials, [StudyDirection[way.upper()] for way in directions])

    ours = front(range(40), lambda place: losses(values[place], directions))

    assert ours == [each.number for each in theirs]


def test_leaders_are_the_front_and_then_the_others_each_by_the_first_objective() -> None:
    trials = rows((0.5, 100), (0.9, 900), (0.8, 900), (0.7, 300), (0.4, 200))

    assert numbers(front_of(trials, UP, DOWN)) == [0, 1, 3]
    assert numbers(leaders(trials, UP, DOWN)) == [1, 3, 0, 2, 4]


def test_with_one_objective_leaders_are_in_the_order_of_their_values_and_of_equals_the_earlier_first() -> None:
    trials = rows((0.5,), (0.9,), (0.7,), (0.9,))

    assert numbers(leaders(trials, UP)) == [1, 3, 2, 0]
    assert numbers(leaders(trials, DOWN)) == [0, 2, 1, 3]
    assert numbers(front_of(trials, UP)) == [1, 3]


def test_trials_that_are_not_complete_or_not_ours_lead_nothing() -> None:
    pruned = trial(1, TrialState.PRUNED, value=0.9, all_values=(0.9, 1))
    foreign = trial(2, value=0.9, all_values=(0.9, 1), ours=False)

    assert numbers(leaders([*rows((0.5, 100)), pruned, foreign], UP, DOWN)) == [0]


def test_optunas_tpe_would_fail_on_pruned_trials_that_reported_something() -> None:
    """Should this ever hold no more, `study.proposals` need not hide what they reported."""
    study = optuna.create_study(directions=[UP, DOWN], sampler=optuna.samplers.TPESampler(n_startup_trials=1))
    kind = {"x": optuna.distributions.FloatDistribution(0, 1)}
    for state, values in ((TrialState.COMPLETE, [0.5, 1.0]), (TrialState.PRUNED, None)):
        study.add_trial(
            create_trial(
                state=state, values=values, params={"x": 0.5}, distributions=kind, intermediate_values={1: 0.5}
            )
        )

    with pytest.raises(RuntimeError, match="single direction"):
        study.ask().suggest_float("x", 0, 1)
