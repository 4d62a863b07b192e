"""Our tables come up to date by themselves, whichever version made them, and Optuna's stay Optuna's."""

import itertools
import logging
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import jobs
import optuna
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import Connection, MetaData, Table, event, func, insert, select, text

from storage import attempts, migrations, studies
from storage._optuna import HEAD_REVISION, create_tables
from storage._schema import ensure_tables
from storage.database import Database
from storage.endings import Ending
from storage.errors import DatabaseError, SchemaError
from storage.migrations import revisions
from storage.migrations.revisions import REVISIONS, VERSION_TABLE
from storage.tables import STUDIES, StudyState, metadata
from study import keeping

Open = Callable[[str], Database]
Stock = Callable[[str], RDBStorage]
OLD_VALUES = {
    str: "μ",
    int: 1,
    float: 1.0,
    bool: True,
    datetime: datetime(2026, 1, 2, 3, 4, 5, 678901),
}
OLD_NAMES = {"agent_id": "agent", "state": "running", "config": "{}", "facts": "{}"}
"""Columns of old rows that refer to each other or must be readable."""
LATER_TABLES = ("studyhall_epochs",)
LATER_COLUMNS = {
    "studyhall_studies": ("reap_after", "refreshed_at", "wall_seconds_budget", "begun_at", "added_trials"),
    "studyhall_workers": (
        *("memory_mb", "utilisation"),
        *("gpu_utilisation", "gpu_used_mb", "gpu_total_mb", "gpu_power_w", "quarantined"),
    ),
}
"""What revisions after the first have added."""


class Cut(Exception):
    """The process ends here."""


def differences(database: Database) -> list[Any]:
    """How our tables in the database differ from those of this version."""

    def ours(name: str | None, kind: str, parents: object) -> bool:
        return kind != "table" or str(name).startswith("studyhall_")

    with database.read() as connection:
        options = {"version_table": VERSION_TABLE, "include_name": ours}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def recorded(database: Database, table: str = VERSION_TABLE) -> list[str]:
    with database.read() as connection:
        return list(connection.scalars(text(f"SELECT version_num FROM {table}")))  # noqa: S608  # a name of ours


def tables_of_ours(connection: Connection) -> list[Table]:
    found = MetaData()
    found.reflect(connection, only=lambda name, _: name.startswith("studyhall_") and name != VERSION_TABLE)
    return [table for table in found.sorted_tables if table.name.startswith("studyhall_")]


def rows_of_ours(database: Database) -> dict[str, list[dict[str, Any]]]:
    with database.read() as connection:
        return {
            table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
            for table in tables_of_ours(connection)
        }


def make_old(url: str, database: Database, stock: Stock) -> None:
    """A database of Studyhall 0.1.0 with one row in each of our tables, about a trial that stock Optuna started."""
    theirs = stock(url)
    optuna.create_study(study_name="study", storage=theirs).ask()
    theirs.remove_session()
    theirs.engine.dispose()
    with database.write() as connection:
        revisions.upgrade(connection, "0001")
        connection.exec_driver_sql(f"DROP TABLE {VERSION_TABLE}")
        for table in tables_of_ours(connection):
            row = {c.name: OLD_NAMES.get(c.name, OLD_VALUES[c.type.python_type]) for c in table.columns}
            connection.execute(insert(table).values(row))


def make_first(connection: Connection) -> None:
    """Take away what later revisions have added, and the record of revisions."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("DROP TRIGGER studyhall_epochs_deleted")
    for table in LATER_TABLES:
        connection.exec_driver_sql(f"DROP TABLE {table}")
    for table, names in LATER_COLUMNS.items():
        for name in names:
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN {name}")
    connection.exec_driver_sql(f"DROP TABLE {VERSION_TABLE}")


def cut_at(database: Database, statement: int) -> None:
    """Let the process end before the so many-th statement that changes anything."""
    counter = itertools.count(1)

    def count(connection: Any, cursor: Any, sql: str, *_: object) -> None:
        if sql.split()[0] in ("CREATE", "ALTER", "INSERT", "UPDATE", "DELETE") and next(counter) == statement:
            raise Cut

    event.listen(database._engine, "before_cursor_execute", count)


def cut_off(url: str, opened: Open, statement: int) -> bool:
    """Open a database in a process that is cut; whether it came to that statement."""
    database = opened(url)
    cut_at(database, statement)
    try:
        ensure_tables(database)
    except Cut:
        return True
    finally:
        database.close()
    return False


def test_a_new_database_has_exactly_the_tables_of_this_version(empty_url: str, opened: Open) -> None:
    database = opened(empty_url)

    ensure_tables(database)

    assert differences(database) == []
    assert recorded(database) == [REVISIONS[-1]]


def test_the_revisions_that_this_version_knows_are_those_it_has() -> None:
    script = ScriptDirectory(str(Path(migrations.__file__).parent))

    assert [found.revision for found in script.walk_revisions()] == list(reversed(REVISIONS))


def test_a_database_of_the_first_version_is_upgraded_and_keeps_its_rows(
    empty_url: str, opened: Open, stock: Stock
) -> None:
    database = opened(empty_url)
    make_old(empty_url, database, stock)
    before = rows_of_ours(database)

    ensure_tables(database)

    after = rows_of_ours(database)
    assert [len(rows) for rows in before.values()] == [1] * (len(metadata.tables) - len(LATER_TABLES))
    assert [after.pop(table) for table in LATER_TABLES] == [[]]
    later = {name: row.pop(name) for table, names in LATER_COLUMNS.items() for row in after[table] for name in names}
    assert later.pop("begun_at") == before["studyhall_attempts"][0]["started_at"]
    assert set(later.values()) == {None}
    assert after == before
    assert (differences(database), recorded(database)) == ([], [REVISIONS[-1]])
    assert studies.load_study(database, "study").state is StudyState.RUNNING


def test_an_upgrade_that_is_cut_anywhere_is_finished_by_the_next_call(
    empty_url: str, opened: Open, stock: Stock
) -> None:
    database = opened(empty_url)
    make_old(empty_url, database, stock)
    cuts = 0

    while cut_off(empty_url, opened, cuts + 1):
        cuts += 1
        ensure_tables(database)
        assert (differences(database), recorded(database)) == ([], [REVISIONS[-1]])
        with database.write() as connection:
            make_first(connection)

    assert cuts > len(REVISIONS)
    rows = rows_of_ours(database)
    assert [len(rows.pop(table)) for table in LATER_TABLES] == [0]
    assert [len(found) for found in rows.values()] == [1] * len(rows)


def test_a_creation_that_is_cut_anywhere_is_finished_by_the_next_call(empty_url: str, opened: Open) -> None:
    database = opened(empty_url)
    cuts = 0

    while cut_off(empty_url, opened, cuts + 1):
        cuts += 1
        ensure_tables(database)
        assert (differences(database), recorded(database)) == ([], [REVISIONS[-1]])
        with database.write() as connection:
            for table in reversed(tables_of_ours(connection)):
                connection.exec_driver_sql(f"DROP TABLE {table.name}")
            connection.exec_driver_sql(f"DROP TABLE {VERSION_TABLE}")

    assert cuts > 2 * len(metadata.tables)


def test_eight_processes_that_open_an_old_database_at_once_all_succeed(
    empty_url: str, opened: Open, stock: Stock, processes: ProcessPoolExecutor
) -> None:
    database = opened(empty_url)
    make_old(empty_url, database, stock)
    start = jobs.moment()

    done = [processes.submit(jobs.create_tables_together, empty_url, start) for _ in range(8)]

    for job in done:
        job.result()
    assert (differences(database), recorded(database)) == ([], [REVISIONS[-1]])


def test_threads_that_create_different_databases_at_once_all_succeed(tmp_path: Path, opened: Open) -> None:
    databases = [opened(f"sqlite:///{tmp_path}/{number}.db") for number in range(4)]

    with ThreadPoolExecutor(4) as pool:
        for job in [pool.submit(ensure_tables, database) for database in databases]:
            job.result()

    assert [differences(database) for database in databases] == [[]] * 4


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_the_wait_for_another_process_that_upgrades_is_bounded(
    kind: str, request: pytest.FixtureRequest, opened: Open, stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with request.getfixturevalue(f"{kind}_server").database() as url:
        first, second = opened(url), opened(url)
        make_old(url, first, stock)
        with first.write() as connection:
            revisions.lock(connection)
            monkeypatch.setattr(revisions, "LOCK_TIMEOUT_S", 1)

            with pytest.raises(DatabaseError, match=r"another process has changed it for 1 s|due to lock timeout"):
                ensure_tables(second)

        ensure_tables(second)
        assert differences(second) == []
        first.close()
        second.close()


def test_tables_of_a_later_version_are_refused_and_left_alone(empty_url: str, opened: Open) -> None:
    database = opened(empty_url)
    ensure_tables(database)
    with database.write() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '4711'")  # noqa: S608  # a name of ours

    with pytest.raises(SchemaError, match=r"have revision 4711; this version of Studyhall knows 0001, .*: upgrade"):
        ensure_tables(database)
    assert recorded(database) == ["4711"]


def test_a_database_that_is_up_to_date_is_opened_with_few_statements_and_no_change(
    url: str, database: Database
) -> None:
    statements: list[str] = []
    event.listen(database._engine, "before_cursor_execute", lambda *call: statements.append(call[2].split()[0]))

    ensure_tables(database)

    assert len(statements) <= 12
    assert set(statements) <= {"BEGIN", "SET", "SELECT", "SHOW", "PRAGMA", "DESCRIBE"}


def test_alembic_does_not_tell_what_it_does(tmp_path: Path, opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    database = opened(f"sqlite:///{tmp_path}/study.db")
    create_tables(database.url)
    caplog.set_level(logging.INFO, "alembic")

    with database.write() as connection:
        revisions.upgrade(connection)

    assert caplog.records == []


def test_stock_optuna_upgrades_reads_extends_and_deletes_a_study_beside_our_revisions(
    empty_url: str, opened: Open, stock: Stock
) -> None:
    database = opened(empty_url)
    jobs.create(empty_url)
    study_id = studies.load_study(database, "study").study_id
    attempts.finish(database, jobs.took(database, study_id), Ending(TrialState.COMPLETE, values=(0.5,)))
    theirs = stock(empty_url)

    theirs.upgrade()
    study = optuna.load_study(study_name="study", storage=theirs)
    study.tell(study.ask(), 0.75)

    assert [trial.value for trial in study.trials] == [0.5, 0.75]
    assert recorded(database, "alembic_version") == [HEAD_REVISION]
    assert recorded(database) == [REVISIONS[-1]]
    optuna.delete_study(study_name="study", storage=theirs)
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(STUDIES)) == 0


def test_a_backup_of_the_first_version_is_restored_and_stays_as_it_is(
    tmp_path: Path, url: str, opened: Open, stock: Stock
) -> None:
    file = tmp_path / "backup.db"
    old = opened(f"sqlite:///{file}")
    make_old(f"sqlite:///{file}", old, stock)
    attempt = rows_of_ours(old)["studyhall_attempts"][0]
    old.close()
    before = file.read_bytes()

    assert keeping.restore_study(file, url, "copy") == ("copy", 1)

    assert studies.load_study(opened(url), "copy").started == 1
    restored = rows_of_ours(opened(url))["studyhall_attempts"][0]
    assert (restored["token"], restored["started_at"]) == (attempt["token"], attempt["started_at"])
    assert file.read_bytes() == before


def test_a_backup_of_a_later_version_is_refused(tmp_path: Path, url: str, database: Database, opened: Open) -> None:
    jobs.create(url)
    file = tmp_path / "backup.db"
    keeping.backup_study(database, "study", file)
    with opened(f"sqlite:///{file}").write() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '4711'")  # noqa: S608  # a name of ours

    with pytest.raises(SchemaError, match="have revision 4711"):
        keeping.restore_study(file, url, "copy")


def test_a_study_in_a_database_of_the_first_version_is_backed_up(
    tmp_path: Path, empty_url: str, opened: Open, stock: Stock
) -> None:
    database = opened(empty_url)
    make_old(empty_url, database, stock)

    assert keeping.backup_study(database, "study", tmp_path / "backup.db") == 1
