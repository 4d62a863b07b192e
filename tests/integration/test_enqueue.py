"""Trials that somebody asks for: they run, once, and the budget is as exact as ever."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from lab import CNN, Lab
from optuna.trial import TrialState

from storage.database import Database
from storage.tables import StudyState
from study import control
from study.loading import load_config
from study.plan import build_plan
from study.stored import create_or_update

SPACE = CNN | {"cnn.width": {"int": [4, 8]}, "lr": {"float": [1e-4, 1e-1], "log": True}}


@pytest.fixture
def database(lab: Lab) -> Iterator[Database]:
    found = Database(lab.url)
    yield found
    found.close()


def relaunch(lab: Lab, *sets: str) -> None:
    create_or_update(lab.url, build_plan(*load_config(lab.folder / "q.yaml", sets, environment={})))


def test_a_trial_is_enqueued_in_a_finished_study_and_runs_with_its_values_and_others_sampled(
    lab: Lab, database: Database
) -> None:
    lab.create(space=SPACE, budget={"trials": 2})
    lab.work(workers=1)

    done = control.enqueue_trials(database, "q", ["lr=0.0123"])
    lab.work(workers=1)

    trial = lab.trials()[2]
    assert (done.numbers, "no agent is at work" in done.outlook) == ([2], True)
    assert (trial.parameters["lr"], trial.state.is_finished()) == (0.0123, True)
    assert 4 <= trial.parameters["cnn.width"] <= 8
    assert (lab.record().started, len(lab.trials())) == (3, 3)


def test_the_next_launch_of_the_same_file_leaves_room_for_what_was_enqueued(lab: Lab, database: Database) -> None:
    lab.create(space=SPACE, budget={"trials": 1})
    lab.work(workers=1)
    control.enqueue_trials(database, "q", ["lr=0.01", "cnn.width=5"], times=2)

    relaunch(lab)
    assert lab.record().budget.trials == 3
    relaunch(lab, "budget.trials=2")
    assert lab.record().budget.trials == 4
    lab.work(workers=1)

    asked_for = [trial for trial in lab.trials() if "enqueued_by" in trial.attributes]
    assert [(trial.parameters["lr"], trial.parameters["cnn.width"]) for trial in asked_for] == [(0.01, 5)] * 2
    assert len(lab.trials()) == 4


def test_within_the_budget_an_enqueued_trial_takes_the_place_of_a_sampled_one(lab: Lab, database: Database) -> None:
    lab.create(space=SPACE, budget={"trials": 2})
    control.enqueue_trials(database, "q", ["lr=0.01"], within_budget=True)

    lab.work(workers=1)

    assert [trial.parameters["lr"] == 0.01 for trial in lab.trials()] == [True, False]


def test_a_trial_runs_though_a_target_was_reached_and_the_search_ends_again_after_it(
    lab: Lab, database: Database
) -> None:
    lab.create(space=SPACE, budget={"trials": 30, "until": {"accuracy": 0.01}})
    lab.work(workers=1)
    before = len(lab.trials())
    control.enqueue_trials(database, "q", ["lr=0.0123"])

    lab.work(workers=1)

    assert [trial.parameters["lr"] for trial in lab.trials()[before:]] == [0.0123]


def test_requests_at_once_are_all_counted(lab: Lab) -> None:
    lab.create(space=SPACE, budget={"trials": 4})

    def ask(_: int) -> list[int]:
        own = Database(lab.url)
        try:
            return list(control.enqueue_trials(own, "q", ["lr=0.01"], times=2).numbers)
        finally:
            own.close()

    with ThreadPoolExecutor(8) as pool:
        numbers = [number for found in pool.map(ask, range(8)) for number in found]

    assert sorted(numbers) == list(range(16))
    assert lab.record().budget.trials == 20
    assert {trial.state for trial in lab.trials()} == {TrialState.WAITING}


@pytest.mark.parametrize(
    ("state", "outlook"), [(StudyState.PAUSED, "the study is paused; `studyhall resume q`"), (None, "no agent is at")]
)
def test_it_is_said_what_must_happen_first(
    lab: Lab, database: Database, state: StudyState | None, outlook: str
) -> None:
    lab.create(space=SPACE)
    if state:
        control.set_study_state(database, "q", state)

    assert outlook in control.enqueue_trials(database, "q", ["lr=0.01"]).outlook


def test_a_request_within_a_used_budget_is_told_to_need_a_larger_one(lab: Lab, database: Database) -> None:
    lab.create(space=SPACE, budget={"trials": 1})
    lab.work(workers=1)

    done = control.enqueue_trials(database, "q", ["lr=0.01"], within_budget=True)

    assert done.outlook.startswith("the budget is used (its 1 trials have been started); a launch with a larger one")
