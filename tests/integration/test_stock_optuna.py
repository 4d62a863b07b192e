from collections.abc import Callable
from datetime import datetime, timedelta

import jobs
import optuna
import pytest
from jobs import took
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import func, select

from storage import agents, attempts, openings, studies
from storage.database import Database
from storage.endings import Ending
from storage.history import read_trials
from storage.tables import metadata
from storage.trials import open_storage

Stock = Callable[[str], RDBStorage]


def rows_of_ours(database: Database) -> dict[str, int]:
    with database.read() as connection:
        counts = {
            name: connection.scalar(select(func.count()).select_from(table)) for name, table in metadata.tables.items()
        }
    return {name: count for name, count in counts.items() if count}


def busy_study(url: str, database: Database, name: str = "study") -> int:
    """A study with rows in all of our tables."""
    jobs.create(url, name)
    study_id = studies.load_study(database, name).study_id
    agent = agents.register_agent(database, study_id, alive_s=60.0)
    agents.see_agent(database, agent, [agents.WorkerSeen(0, 1, "cpu")])
    claimed = took(database, study_id)
    attempts.finish(database, claimed, Ending(TrialState.COMPLETE, values=(0.5,)))
    took(database, study_id)
    openings.record_opening(database, study_id, claimed.trial_id, {"accuracy": 0.5}, opened_by="me@here")
    change = studies.Change("budget.trials", 10, 20)
    budget = studies.Budget(20, None)
    studies.change_config(database, study_id, {}, [change], budget, goal_reached=None, changed_by="me@here")
    return study_id


def test_stock_optuna_reads_our_trials(url: str, database: Database, stock: Stock) -> None:
    jobs.create(url)
    study_id = studies.load_study(database, "study").study_id
    complete, pruned, failed = (took(database, study_id) for _ in range(3))
    attempts.report(database, complete, 1, 0.25)
    attempts.finish(database, complete, Ending(TrialState.COMPLETE, values=(0.5,), attributes={"events": [1, "μ"]}))
    attempts.finish(database, pruned, Ending(TrialState.PRUNED, values=(float("-inf"),)))
    attempts.finish(database, failed, Ending(TrialState.FAIL, failure="error", message="no"))

    read = optuna.load_study(study_name="study", storage=stock(url))

    assert [trial.number for trial in read.trials] == [0, 1, 2]
    assert [trial.state for trial in read.trials] == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    assert [trial.values for trial in read.trials] == [[0.5], [float("-inf")], None]
    assert read.best_trial.number == 0
    assert read.trials[0].intermediate_values == {1: 0.25}
    assert read.trials[0].user_attrs == {"events": [1, "μ"]}
    assert read.directions == [optuna.study.StudyDirection.MAXIMIZE]
    assert read.metric_names == ["accuracy"]


def test_stock_optuna_reads_our_times_as_its_own(url: str, database: Database, stock: Stock) -> None:
    jobs.create(url)
    attempts.finish(
        database,
        took(database, studies.load_study(database, "study").study_id),
        Ending(TrialState.COMPLETE, values=(0.5,)),
    )

    trial = optuna.load_study(study_name="study", storage=stock(url)).trials[0]

    assert trial.datetime_start is not None
    assert trial.datetime_complete is not None
    # Optuna gives local time; its column on MariaDB has whole seconds.
    assert abs(datetime.now() - trial.datetime_start) < timedelta(seconds=10)
    assert timedelta(0) <= trial.datetime_complete - trial.datetime_start < timedelta(seconds=10)


def test_samplers_read_and_extend_the_study_through_our_storage(url: str, database: Database, stock: Stock) -> None:
    jobs.create(url)
    claimed = took(database, studies.load_study(database, "study").study_id)
    storage = open_storage(url)
    study = optuna.load_study(study_name="study", storage=storage, sampler=optuna.samplers.TPESampler(seed=1))
    study.get_trials(deepcopy=False)
    trial = optuna.Trial(study, claimed.trial_id)
    sampled = {"lr": trial.suggest_float("lr", 1e-4, 1.0, log=True), "pool": trial.suggest_categorical("pool", "ab")}
    attempts.finish(database, claimed, Ending(TrialState.COMPLETE, values=(0.5,)))
    storage.close()

    read = optuna.load_study(study_name="study", storage=stock(url)).trials[0]

    assert read.params == sampled
    assert read_trials(database, claimed.study_id)[0].parameters == sampled


def test_a_study_that_stock_optuna_deletes_leaves_no_rows_of_ours(url: str, database: Database, stock: Stock) -> None:
    busy_study(url, database)
    assert len(rows_of_ours(database)) >= 6

    optuna.delete_study(study_name="study", storage=stock(url))

    assert rows_of_ours(database) == {}
    assert studies.list_studies(database) == []


def test_a_study_that_stock_optuna_deletes_leaves_the_rows_of_the_others(
    url: str, database: Database, stock: Stock
) -> None:
    busy_study(url, database, "kept")
    before = rows_of_ours(database)
    busy_study(url, database, "deleted")

    optuna.delete_study(study_name="deleted", storage=stock(url))

    assert rows_of_ours(database) == before
    assert [record.name for record in studies.list_studies(database)] == ["kept"]


def test_a_study_that_our_storage_deletes_leaves_no_rows_of_ours(url: str, database: Database) -> None:
    busy_study(url, database)
    storage = open_storage(url)

    optuna.delete_study(study_name="study", storage=storage)

    storage.close()
    assert rows_of_ours(database) == {}


def test_a_later_study_with_the_same_id_on_sqlite_meets_no_stale_rows(
    sqlite_url: str, opened: Callable[[str], Database], stock: Stock
) -> None:
    database = opened(sqlite_url)
    deleted = busy_study(sqlite_url, database)
    optuna.delete_study(study_name="study", storage=stock(sqlite_url))

    jobs.create(sqlite_url, "other", trials=1)

    record = studies.load_study(database, "other")
    assert (record.study_id, record.started) == (deleted, 0)
    assert (took(database, deleted).number, read_trials(database, deleted)[0].attempts) == (0, 1)
    assert openings.list_openings(database, deleted) == []
    assert agents.list_workers(database, deleted) == []


def test_a_lost_trigger_returns_when_the_database_is_opened(
    sqlite_url: str, opened: Callable[[str], Database], stock: Stock
) -> None:
    database = opened(sqlite_url)
    with database.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER studyhall_study_deleted")
    busy_study(sqlite_url, database)

    optuna.delete_study(study_name="study", storage=stock(sqlite_url))

    assert rows_of_ours(database) == {}


def test_a_study_deleted_under_an_agent_ends_it_in_good_order(url: str, database: Database, stock: Stock) -> None:
    jobs.create(url)
    study_id = studies.load_study(database, "study").study_id
    agent, claimed = agents.register_agent(database, study_id, alive_s=60.0), took(database, study_id)
    optuna.delete_study(study_name="study", storage=stock(url))

    state, held = attempts.renew(database, study_id, [claimed.token], 60.0)
    agents.see_agent(database, agent, [agents.WorkerSeen(0, 1, "cpu")])
    agents.leave(database, agent)

    assert (state, held) == (studies.StudyState.STOPPED, set())
    with pytest.raises(attempts.LeaseLost):
        attempts.finish(database, claimed, Ending(TrialState.COMPLETE, values=(0.5,)))
    assert rows_of_ours(database) == {}
