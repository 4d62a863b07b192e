import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import jobs
import optuna
import pytest
from optuna.storages import RDBStorage
from sqlalchemy import inspect, select

from storage import _optuna, studies
from storage._optuna import HEAD_REVISION
from storage._schema import ensure_tables
from storage.database import Database
from storage.errors import ConfigError, SchemaError, StudyMissing
from storage.studies import Budget, Change
from storage.tables import CHANGES, STUDIES, metadata
from storage.trials import open_storage

Stock = Callable[[str], RDBStorage]
Open = Callable[[str], Database]


def tables(database: Database) -> set[str]:
    with database.read() as connection:
        return set(inspect(connection).get_table_names())


def test_processes_that_create_the_tables_at_once_all_succeed(
    empty_url: str, opened: Open, processes: ProcessPoolExecutor
) -> None:
    start = jobs.moment()

    done = [processes.submit(jobs.create_tables_together, empty_url, start) for _ in range(2)]

    for job in done:
        job.result()
    assert set(metadata.tables) <= tables(opened(empty_url))


def test_of_eight_processes_that_create_one_study_in_a_new_database_one_does(
    empty_url: str, opened: Open, processes: ProcessPoolExecutor
) -> None:
    start = jobs.moment()

    done = [processes.submit(jobs.create_together, empty_url, "study", start) for _ in range(8)]

    assert sorted(job.result() for job in done) == [False] * 7 + [True]
    assert [record.name for record in studies.list_studies(opened(empty_url))] == ["study"]


def test_of_eight_processes_that_take_over_a_stock_study_one_does(
    url: str, database: Database, stock: Stock, processes: ProcessPoolExecutor
) -> None:
    theirs = optuna.create_study(study_name="study", storage=stock(url), direction="maximize")
    theirs.ask()
    start = jobs.moment()

    done = [processes.submit(jobs.create_together, url, "study", start) for _ in range(8)]

    assert sorted(job.result() for job in done) == [False] * 7 + [True]
    record = studies.load_study(database, "study")
    assert (record.study_id, record.started) == (theirs._study_id, 0)
    assert theirs.metric_names == ["accuracy"]


def test_a_stock_study_that_appears_during_the_creation_is_taken_over(url: str, database: Database) -> None:
    with ThreadPoolExecutor(1) as pool, database.write() as connection:
        study_id = _optuna.insert_study(connection, "study", ["maximize"], ["accuracy"])
        created = pool.submit(jobs.create, url)
        time.sleep(0.2)
        assert not created.done()

        connection.commit()

        assert created.result()
    assert studies.load_study(database, "study").study_id == study_id


def test_a_stock_study_with_other_directions_is_not_taken_over(url: str, database: Database, stock: Stock) -> None:
    optuna.create_study(study_name="study", storage=stock(url), direction="minimize")

    with pytest.raises(ConfigError, match=r"\['minimize'\]; this one has \['maximize'\]: give another name"):
        jobs.create(url)

    assert studies.list_studies(database) == []


def test_a_stock_study_with_metric_names_keeps_them(url: str, stock: Stock) -> None:
    theirs = optuna.create_study(study_name="study", storage=stock(url), direction="maximize")
    theirs.set_metric_names(["precision"])

    assert jobs.create(url)

    assert theirs.metric_names == ["precision"]


def test_a_creation_that_was_killed_midway_is_completed(empty_url: str, opened: Open) -> None:
    database = opened(empty_url)
    ensure_tables(database)
    with database.write() as connection:
        for name in ("studyhall_test_openings", "studyhall_workers"):
            connection.exec_driver_sql(f"DROP TABLE {name}")

    open_storage(empty_url).close()

    assert set(metadata.tables) <= tables(database)


def test_a_database_of_stock_optuna_is_extended_and_stays_usable(empty_url: str, stock: Stock) -> None:
    theirs = optuna.create_study(study_name="theirs", storage=stock(empty_url))
    theirs.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)

    assert jobs.create(empty_url)

    assert sorted(optuna.get_all_study_names(stock(empty_url))) == ["study", "theirs"]
    theirs.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert len(theirs.trials) == 2


@pytest.mark.parametrize(
    "statement",
    ["UPDATE version_info SET schema_version = 11", "UPDATE alembic_version SET version_num = 'f00'"],
)
def test_the_tables_of_another_version_of_optuna_are_refused(empty_url: str, opened: Open, statement: str) -> None:
    database = opened(empty_url)
    ensure_tables(database)
    with database.write() as connection:
        connection.exec_driver_sql(statement)

    with pytest.raises(SchemaError, match=r"schema version (11|f00); Optuna 5\.0\.\d+ needs .*upgrade"):
        open_storage(empty_url)


def test_the_newest_revision_is_the_one_of_the_installed_optuna(sqlite_url: str, stock: Stock) -> None:
    assert stock(sqlite_url).get_head_version() == HEAD_REVISION


@pytest.mark.parametrize("name", ["Čerenkov μ/e", "粒子", "🙂", "it's 50%", "a" * 512])
def test_a_study_may_have_any_name(url: str, database: Database, stock: Stock, name: str) -> None:
    assert jobs.create(url, name)

    assert not jobs.create(url, name)
    assert studies.load_study(database, name).config == {"study": {"name": name}}
    assert optuna.load_study(study_name=name, storage=stock(url)).study_name == name


@pytest.mark.parametrize("name", ["", "a" * 513])
def test_a_name_that_no_database_takes_is_refused(url: str, name: str) -> None:
    with pytest.raises(ConfigError, match=f"has {len(name)} characters; 1 to 512 are accepted"):
        jobs.create(url, name)


def test_names_that_differ_in_case_are_two_studies_or_refused(url: str, database: Database) -> None:
    jobs.create(url, "Muon")

    if database.url.get_backend_name() == "mysql":
        with pytest.raises(ConfigError, match="'muon': to this database that is the same as 'Muon'"):
            jobs.create(url, "muon")
        with pytest.raises(StudyMissing):
            studies.load_study(database, "muon")
    else:
        assert jobs.create(url, "muon")
        assert studies.load_study(database, "muon").name == "muon"


def test_a_large_configuration_is_kept(url: str, database: Database) -> None:
    config = {"space": {f"parameter-{i}": "é" * 100 for i in range(400)}}
    assert len(json.dumps(config)) > 200_000

    studies.create_study(
        url,
        "study",
        directions=["maximize", "minimize"],
        metric_names=["accuracy", "loss"],
        config=config,
        facts=config,
        budget=Budget(None, 3600.0),
    )

    record = studies.load_study(database, "study")
    assert (record.config, record.facts, record.budget) == (config, config, Budget(None, 3600.0))


def test_a_missing_study_is_told_with_those_that_exist(url: str, database: Database) -> None:
    jobs.create(url, "one")
    jobs.create(url, "two")

    with pytest.raises(StudyMissing, match=r"no study 'three' in .*; it has: one, two"):
        studies.load_study(database, "three")


def test_a_database_without_our_tables_has_no_studies(empty_url: str, opened: Open) -> None:
    database = opened(empty_url)

    assert studies.list_studies(database) == []
    with pytest.raises(StudyMissing, match="it has: none"):
        studies.load_study(database, "study")


def test_a_change_is_recorded_with_time_and_user(url: str, database: Database) -> None:
    jobs.create(url)
    record = studies.load_study(database, "study")
    change = Change("budget.trials", 10, {"note": "é" * 100_000})

    studies.change_config(
        database,
        record.study_id,
        {"new": 1},
        [change],
        Budget(20, None),
        goal_reached=None,
        changed_by="user@" + "host" * 100,
    )

    changed = studies.load_study(database, "study")
    assert (changed.config, changed.budget) == ({"new": 1}, Budget(20, None))
    with database.read() as connection:
        kept = connection.execute(select(CHANGES)).one()
        created_at = connection.scalar(select(STUDIES.c.created_at))
    assert (kept.key, json.loads(kept.old), json.loads(kept.new)) == ("budget.trials", 10, change.new)
    assert kept.changed_by.startswith("user@hosthost")
    assert created_at is not None
    assert created_at <= kept.changed_at


def test_a_change_to_a_deleted_study_is_refused(url: str, database: Database) -> None:
    with pytest.raises(StudyMissing, match="has been deleted"):
        studies.change_config(database, 4711, {}, [], Budget(1, None), goal_reached=None, changed_by="me@here")
