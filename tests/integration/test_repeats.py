"""No configuration is trained twice, unless that is asked for."""

from collections import Counter

from lab import Lab
from optuna.trial import TrialState

from models._family import load_family
from storage.claims import Refusal
from study.space import build_space

ONE = {"model": "mlp", **build_space({"model": "mlp"}, {"mlp": load_family("mlp")}).defaults("mlp")}
FOUR = ONE | {"optimizer": {"choice": ["adam", "adamw"]}, "batch_size": {"choice": [32, 64]}}
SEARCH = {"pruner": "none", "sampler": "random"}


def trained(lab: Lab) -> Counter[tuple[tuple[str, object], ...]]:
    """How often each configuration was trained."""
    done = [trial for trial in lab.trials() if trial.values]
    return Counter(tuple(sorted(trial.parameters.items())) for trial in done)


def test_each_configuration_of_a_small_space_is_trained_once_and_the_study_ends(lab: Lab) -> None:
    lab.create(budget={"trials": 20}, space=FOUR, search=SEARCH)

    assert lab.work(workers=2) is Refusal.DONE

    assert list(trained(lab).values()) == [1, 1, 1, 1]
    assert (lab.record().goal_reached or "").startswith("no configuration is left")
    left = [trial for trial in lab.trials() if not trial.values]
    assert {(trial.state, trial.failure) for trial in left} == {(TrialState.PRUNED, "duplicate")}


def test_an_enqueued_configuration_is_trained_again(lab: Lab) -> None:
    same = {"optimizer": "adam", "batch_size": 32}
    lab.create(budget={"trials": 3}, space=FOUR, search=SEARCH, queue=[same, same])

    lab.work(workers=1)

    assert sorted(trained(lab).values()) == [1, 2]


def test_a_study_may_ask_for_repetitions(lab: Lab) -> None:
    lab.create(budget={"trials": 6}, space=FOUR, search=SEARCH | {"repeat": True})

    lab.work(workers=1)

    assert sum(trained(lab).values()) == 6


def test_a_study_that_searches_nothing_trains_with_other_seeds(lab: Lab) -> None:
    lab.create(budget={"trials": 2}, space=ONE, search=SEARCH)

    lab.work(workers=1)

    assert sum(trained(lab).values()) == 2
