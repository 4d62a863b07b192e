from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta

import jobs
import optuna
import pytest
from jobs import took
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from storage import attempts, claims, openings, studies
from storage.database import Database
from storage.endings import Ending
from storage.errors import StudyMissing
from storage.history import read_trials
from storage.openings import Opening, list_openings, record_opening
from storage.studies import Budget
from storage.tables import AttemptState
from storage.trials import open_storage

Stock = Callable[[str], RDBStorage]


@pytest.fixture
def study_id(url: str, database: Database) -> int:
    jobs.create(url)
    return studies.load_study(database, "study").study_id


def test_trials_are_read_as_stock_optuna_reads_them(url: str, database: Database, stock: Stock, study_id: int) -> None:
    study = optuna.load_study(study_name="study", storage=stock(url))
    distributions = {
        "lr": FloatDistribution(1e-5, 1.0, log=True),
        "depth": IntDistribution(1, 9, step=2),
        "pool": CategoricalDistribution(("max", None, 3, 0.5, True)),
    }
    for state, values in ((TrialState.COMPLETE, [0.1]), (TrialState.PRUNED, [0.2]), (TrialState.FAIL, None)):
        study.add_trial(
            create_trial(
                state=state,
                values=values,
                params={"lr": 0.1, "depth": 3, "pool": None},
                distributions=distributions,
                user_attrs={"note": {"μ": [1, None]}},
                intermediate_values={2: 0.25, 1: float("nan")},
            )
        )
    study.enqueue_trial({"depth": 5})

    rows = read_trials(database, study_id)

    for row, trial in zip(rows, study.trials, strict=True):
        assert (row.number, row.state, row.value) == (trial.number, trial.state, trial.value)
        assert (row.parameters, row.attributes) == (trial.params, trial.user_attrs)
        assert repr(row.values) == repr(dict(sorted(trial.intermediate_values.items())))
        assert (row.ours, row.attempts, row.seconds, row.attempt_state) == (False, 0, 0, None)


def test_values_of_several_objectives_are_in_their_order(database: Database, url: str) -> None:
    directions, names = ["maximize", "minimize", "minimize"], ["accuracy", "parameters", "latency_ms"]
    budget = Budget(10, None)
    studies.create_study(url, "several", directions=directions, metric_names=names, config={}, facts={}, budget=budget)
    study_id = studies.load_study(database, "several").study_id
    ending = Ending(TrialState.COMPLETE, values=(0.5, float("inf"), 0.25), constraints={"parameters": -0.5})
    attempts.finish(database, took(database, study_id), ending)
    took(database, study_id)

    ended, running = read_trials(database, study_id)

    assert (ended.value, ended.all_values) == (0.5, (0.5, float("inf"), 0.25))
    assert (running.value, running.all_values) == (None, ())
    with closing(open_storage(url)) as storage:
        (best,) = optuna.load_study(study_name="several", storage=storage).best_trials
    assert best.values == [0.5, float("inf"), 0.25]
    assert best.constraints == {"parameters": -0.5}


def test_a_trial_with_several_attempts_is_one_row(database: Database, study_id: int) -> None:
    attempts.hand_back(database, took(database, study_id))
    second = took(database, study_id)
    attempts.finish(
        database, second, Ending(TrialState.PRUNED, values=(0.5,), failure="oom", message="no room", weights="w")
    )

    (row,) = read_trials(database, study_id)

    assert (row.attempts, row.attempt_state, row.failure) == (2, AttemptState.FINISHED, "oom")
    assert (row.message, row.weights, row.agent_id, row.slot) == ("no room", "w", "agent", 0)
    assert row.ours
    assert 0.0 < row.seconds < 10.0
    assert row.started_at is not None
    assert abs(row.started_at - datetime.now(UTC).replace(tzinfo=None)) < timedelta(seconds=10)


def test_seconds_of_a_trial_that_nobody_renews_end_with_its_lease(database: Database, study_id: int) -> None:
    took(database, study_id, lease_s=-1.0)
    unnoticed = read_trials(database, study_id)[0].seconds

    claims.reap(database, study_id, lost_retries=3)

    noticed = read_trials(database, study_id)[0]
    assert noticed.attempt_state is AttemptState.LOST
    assert unnoticed == noticed.seconds == pytest.approx(-1.0, abs=0.1)


def test_the_value_of_several_objectives_is_the_first(url: str, database: Database, stock: Stock) -> None:
    study = optuna.create_study(study_name="two", storage=stock(url), directions=["minimize", "maximize"])
    study.tell(study.ask(), [0.25, 0.75])

    assert read_trials(database, study._study_id)[0].value == 0.25


def test_an_opening_of_the_test_events_is_kept_once(database: Database, study_id: int) -> None:
    first, second = took(database, study_id), took(database, study_id)
    record_opening(database, study_id, second.trial_id, {"accuracy": 0.5, "roc_auc": None}, opened_by="me@here")
    record_opening(database, study_id, first.trial_id, {"accuracy": 0.25}, opened_by="m" * 300)

    record_opening(database, study_id, second.trial_id, {"accuracy": 0.9}, opened_by="you@there")

    found = list_openings(database, study_id)
    assert [(opening.number, opening.metrics) for opening in found] == [
        (1, {"accuracy": 0.5, "roc_auc": None}),
        (0, {"accuracy": 0.25}),
    ]
    assert [opening.opened_by for opening in found] == ["me@here", "m" * 255]
    assert all(isinstance(opening, Opening) for opening in found)
    assert found[0].opened_at <= found[1].opened_at


def test_openings_of_another_study_are_not_listed(url: str, database: Database, study_id: int) -> None:
    jobs.create(url, "another")
    other = studies.load_study(database, "another").study_id
    record_opening(database, other, took(database, other).trial_id, {}, opened_by="me@here")

    assert openings.list_openings(database, study_id) == []


def test_an_opening_of_a_trial_that_is_gone_is_refused(database: Database, study_id: int) -> None:
    with pytest.raises(StudyMissing, match="has been deleted"):
        record_opening(database, study_id, 4711, {}, opened_by="me@here")
