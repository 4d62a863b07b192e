import os
import socket
import sqlite3
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jobs
import optuna
import pytest
from sqlalchemy import event, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from storage import _engine, _optuna, studies
from storage._engine import IDLE_TIMEOUT_S
from storage.database import Collision, Database, retried
from storage.errors import DatabaseError
from storage.tables import CHANGES, STUDIES
from storage.trials import open_storage

Open = Callable[[str], Database]
NOBODY = 65534


@contextmanager
def unprivileged() -> Iterator[Path]:
    """A folder of our own, with the rights of an ordinary user: root may read and write everything."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        if os.geteuid() != 0:
            yield Path(folder)
            return
        os.seteuid(NOBODY)
        try:
            yield Path(folder)
        finally:
            os.seteuid(0)


@contextmanager
def silent_server() -> Iterator[int]:
    """The port of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_transaction_that_fails_changes_nothing(url: str, database: Database) -> None:
    jobs.create(url)

    def fail() -> None:
        with database.write() as connection:
            connection.execute(update(STUDIES).values(started=7))
            raise KeyError("our own mistake")

    with pytest.raises(KeyError):
        fail()
    assert studies.load_study(database, "study").started == 0


def test_a_reader_sees_one_moment(url: str, database: Database) -> None:
    jobs.create(url)
    count = select(func.count()).select_from(STUDIES)
    with database.read() as connection:
        before = connection.scalar(count)

        jobs.create(url, "another")

        assert connection.scalar(count) == before == 1


def test_a_writer_sees_what_was_committed_while_it_waited(url: str, database: Database) -> None:
    jobs.create(url)
    seen: list[int] = []

    def add() -> None:
        with database.write() as connection:
            connection.execute(select(STUDIES).where(STUDIES.c.started >= 0))
            locked = connection.execute(select(STUDIES.c.started).with_for_update()).scalar_one()
            plain = connection.execute(select(STUDIES.c.started)).scalar_one()
            seen.extend([locked, plain])

    with database.write() as connection:
        connection.execute(update(STUDIES).values(started=1))
        other = threading.Thread(target=add)
        other.start()
        time.sleep(0.2)
    other.join()

    assert seen == [1, 1]


def test_two_transactions_that_collide_are_both_done(database: Database, url: str) -> None:
    jobs.create(url, "one")
    jobs.create(url, "two")
    ids = [record.study_id for record in studies.list_studies(database)]
    both, tries = threading.Barrier(2), []

    @retried
    def add_to(database: Database, first: int, second: int) -> None:
        tries.append(first)
        with database.write() as connection:
            for study_id in (first, second):
                added = update(STUDIES).where(STUDIES.c.study_id == study_id)
                connection.execute(added.values(started=STUDIES.c.started + 1))
                if study_id == first and len(tries) <= 2 and database.url.get_backend_name() != "sqlite":
                    both.wait(timeout=10)

    threads = [threading.Thread(target=add_to, args=(database, *order)) for order in (ids, ids[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [record.started for record in studies.list_studies(database)] == [2, 2]
    assert len(tries) == (2 if database.url.get_backend_name() == "sqlite" else 3)


def test_a_transaction_that_collides_every_time_is_given_up(database: Database) -> None:
    tries = []

    @retried
    def collide(database: Database) -> None:
        tries.append(1)
        raise Collision("again")

    with pytest.raises(DatabaseError, match="again"):
        collide(database)
    assert len(tries) == 10


def test_a_key_that_exists_is_no_trouble_with_the_database(url: str, database: Database) -> None:
    jobs.create(url)
    table = _optuna.STUDIES

    def insert_again() -> None:
        with database.write() as connection:
            connection.execute(insert(table).values(study_name="study"))

    with pytest.raises(IntegrityError):
        insert_again()


def test_foreign_keys_hold_on_every_database(database: Database) -> None:
    row = {"study_id": 4711, "changed_by": "me", "key": "k", "old": "1", "new": "2"}

    def insert_orphan() -> None:
        with database.write() as connection:
            connection.execute(insert(CHANGES).values(changed_at=func.current_timestamp(), **row))

    with pytest.raises(IntegrityError):
        insert_orphan()


def test_the_server_ends_the_transactions_of_frozen_processes(database: Database) -> None:
    asked = {
        "postgresql": "SELECT setting::int / 1000 FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'",
        "mysql": "SELECT @@idle_transaction_timeout",
    }
    query = asked.get(database.url.get_backend_name())
    if query is not None:
        with database.read() as connection:
            assert connection.exec_driver_sql(query).scalar_one() == IDLE_TIMEOUT_S


def test_a_server_connection_that_died_is_replaced(url: str, database: Database) -> None:
    jobs.create(url)
    kill = {
        "postgresql": "SELECT pg_terminate_backend(pg_backend_pid())",
        "mysql": "KILL CONNECTION_ID()",
    }.get(database.url.get_backend_name())

    def die() -> None:
        with database.write() as connection:
            connection.exec_driver_sql(kill or "SELECT no_such_function()")

    with pytest.raises(DatabaseError):
        die()
    assert studies.load_study(database, "study").name == "study"


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_server_that_is_not_there_is_an_error_that_names_it(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    with pytest.raises(DatabaseError) as caught:
        open_storage(f"{kind}://me:s3cret@127.0.0.1:{port}/lab")

    message = str(caught.value)
    assert f"me:***@127.0.0.1:{port}/lab" in message
    assert "check that it runs, is reachable and lets this user in" in message
    assert "s3cret" not in message
    assert "\n" not in message


@pytest.mark.parametrize(("kind", "limit"), [("postgresql", "connect_timeout"), ("mysql", "read_timeout")])
def test_a_server_that_never_answers_is_an_error_in_bounded_time(
    kind: str, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_engine._LIMITS[kind], limit, 2)  # seconds; the least that PostgreSQL's driver knows
    with silent_server() as port:
        began = time.monotonic()

        with pytest.raises(DatabaseError, match="check that it runs"):
            open_storage(f"{kind}://me:s3cret@127.0.0.1:{port}/lab")

    assert time.monotonic() - began < 10.0


def test_a_database_that_does_not_exist_is_an_error_that_names_it(request: pytest.FixtureRequest) -> None:
    for kind in ("postgresql", "mariadb"):
        server = request.getfixturevalue(f"{kind}_server")
        url = server.url.set(database="no_such_database").render_as_string(hide_password=False)

        with pytest.raises(DatabaseError, match="no_such_database"):
            open_storage(url)


def test_a_file_that_is_no_sqlite_database_is_refused(tmp_path: Path, opened: Open) -> None:
    file = tmp_path / "events.db"
    file.write_bytes(b"\x89HDF\r\n\x1a\n" * 100)

    with pytest.raises(DatabaseError, match=r"events\.db: file is not a database"):
        open_storage(f"sqlite:///{file}")
    assert file.read_bytes() == b"\x89HDF\r\n\x1a\n" * 100


def test_a_read_only_sqlite_file_is_an_error_that_says_so() -> None:
    with unprivileged() as folder:
        file = folder / "study.db"
        jobs.create(f"sqlite:///{file}")
        file.chmod(stat.S_IRUSR)

        with pytest.raises(DatabaseError, match="readonly database; check that the file and its folder can be"):
            jobs.create(f"sqlite:///{file}", "another")


def test_a_read_only_folder_is_an_error_that_says_so() -> None:
    with unprivileged() as folder:
        locked = folder / "locked"
        locked.mkdir()
        locked.chmod(0o555)

        with pytest.raises(DatabaseError, match="unable to open database file; check that the file and its folder"):
            open_storage(f"sqlite:///{locked}/study.db")


def test_a_full_disk_is_an_error_that_says_so_and_loses_nothing(sqlite_url: str, opened: Open) -> None:
    jobs.create(sqlite_url)
    database = opened(sqlite_url)
    study_id = studies.load_study(database, "study").study_id

    def full(connection: Any, record: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")

    database.close()
    event.listen(database._engine, "connect", full)

    with pytest.raises(DatabaseError, match="database or disk is full; check that the file"):
        studies.change_config(
            database,
            study_id,
            {"space": "x" * 100_000},
            [],
            studies.Budget(1, None),
            goal_reached=None,
            changed_by="me@here",
        )
    assert studies.load_study(database, "study").budget.trials == 10


def test_sqlite_waits_for_a_lock_and_then_says_that_it_is_taken(
    sqlite_url: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_engine._LIMITS["sqlite"], "timeout", 0.1)
    first, second = opened(sqlite_url), opened(sqlite_url)

    def write_both() -> None:
        with first.write(), second.write():
            pass

    with pytest.raises(DatabaseError, match="database is locked"):
        write_both()
    with second.write() as connection:
        assert connection.scalar(select(func.count()).select_from(STUDIES)) == 0


def test_a_new_sqlite_file_that_another_process_writes_to_is_waited_for(tmp_path: Path, opened: Open) -> None:
    other = sqlite3.connect(tmp_path / "study.db", isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE stock (x)")
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.2, other.commit)
    release.start()

    with opened(f"sqlite:///{tmp_path}/study.db").read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"

    release.join()
    other.close()


def test_sqlite_writes_ahead_and_safely(sqlite_url: str, opened: Open) -> None:
    with opened(sqlite_url).read() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]

    assert found == ["wal", 2, 1]


def test_sqlite_paths_may_contain_what_urls_and_templates_may_not(tmp_path: Path) -> None:
    folder = tmp_path / "50% {run} é"
    folder.mkdir()

    storage = open_storage(str(folder / "my study.db"))

    storage.close()
    assert (folder / "my study.db").is_file()


def test_optunas_part_never_deadlocks_with_ours_on_sqlite(sqlite_url: str, opened: Open) -> None:
    jobs.create(sqlite_url, trials=40)
    database, storage = opened(sqlite_url), open_storage(sqlite_url)
    study = optuna.load_study(study_name="study", storage=storage, sampler=optuna.samplers.RandomSampler(1))

    def ask() -> None:
        for _ in range(20):
            trial = study.ask()
            trial.suggest_float("x", 0.0, 1.0)
            study.tell(trial, 0.5)
        storage.remove_session()

    other = threading.Thread(target=ask)
    other.start()
    for _ in range(20):
        jobs.took(database, 1)
    other.join()

    storage.close()
    assert sorted(trial.number for trial in study.trials) == list(range(40))
