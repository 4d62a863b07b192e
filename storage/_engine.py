"""How each kind of database is connected to: locks, isolation, and limits on every wait."""

import math
import random
import sqlite3
import time
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

BUSY_TIMEOUT_S = 30.0
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.0005, 0.02
"""Between two tries for a lock of SQLite's."""
CONNECT_TIMEOUT_S = 10
ANSWER_TIMEOUT_S = 90
"""Longest wait for one answer; more than the 50 s for which MariaDB itself waits for a lock."""
IDLE_TIMEOUT_S = 60.0
"""After so long without a statement a server ends a transaction, and with it the locks of a frozen process."""

_LIMITS: dict[str, dict[str, Any]] = {
    "sqlite": {"timeout": BUSY_TIMEOUT_S},
    "postgresql": {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives_idle": 30,  # seconds
        "keepalives_interval": 10,  # seconds
        "keepalives_count": 3,
        "tcp_user_timeout": ANSWER_TIMEOUT_S * 1000,  # milliseconds
    },
    "mysql": {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": ANSWER_TIMEOUT_S,
        "write_timeout": ANSWER_TIMEOUT_S,
        "init_command": "SET NAMES utf8mb4",
    },
}


def engine_options(url: URL) -> dict[str, Any]:
    """Arguments of `create_engine`; what the URL's query sets itself goes first."""
    kind = url.get_backend_name()
    limits = {key: value for key, value in _LIMITS[kind].items() if key not in url.query}
    if kind == "sqlite":
        return {"connect_args": limits}
    # With repeatable reads a statement after the wait for a lock would not see what the lock's last owner wrote.
    # Every transaction ends by itself, so a connection that comes back to the pool needs no further statement.
    return {"connect_args": limits, "pool_reset_on_return": None, "isolation_level": "READ COMMITTED"}


def new_engine(url: URL, idle_timeout_s: float) -> Engine:
    """An engine for `Database`; transactions with the execution option ``write`` may write.

    Args:
        url: From `database_url`.
        idle_timeout_s: After so long without a statement a server ends a transaction.
    """
    options = engine_options(url)
    if url.get_backend_name() == "sqlite":
        options["connect_args"]["timeout"] = 0.0  # `_execute_patiently` waits instead
    engine = create_engine(url, **options)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _connected_to_sqlite)
        event.listen(engine, "do_execute", _execute_patiently)
    else:
        limit = _IDLE_LIMITS[url.get_backend_name()].format(seconds=max(1, math.ceil(idle_timeout_s)))
        event.listen(engine, "connect", partial(_connected_to_server, limit))
    event.listen(engine, "begin", _begun)
    return engine


_IDLE_LIMITS = {
    "postgresql": "SET idle_in_transaction_session_timeout = '{seconds}s'",
    # MySQL, which has no such limit, reads /*M! */ as a comment.
    "mysql": "SET @studyhall = 1 /*M!100300 , SESSION idle_transaction_timeout = {seconds} */",
}


def _connected_to_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own
    try:
        _write_ahead(connection)
        connection.execute("PRAGMA foreign_keys=ON")
    except Exception:
        connection.close()
        raise


def _write_ahead(connection: Any) -> None:
    """Switch the file to write-ahead logging, which lets readers and a writer work at once.

    Of processes that open a new file together all but one are told at once that it is locked: here SQLite does not
    wait, since two that each wait for the other's lock would do so for ever.
    """
    end = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
        time.sleep(random.uniform(0.01, 0.05))  # seconds


def _connected_to_server(limit: str, connection: Any, record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(limit)
    connection.commit()


def _begun(connection: Connection) -> None:
    """Begin SQLite's transactions ourselves: ``BEGIN IMMEDIATE`` for writers, so that none can deadlock.

    On a server, a transaction that only reads sees one moment.
    """
    options = connection.get_execution_options()
    write = options.get("write", False)
    if connection.dialect.name == "sqlite":
        if write:
            _synchronise(connection, "FULL" if options.get("durable", True) else "NORMAL")
        if not options.get("single", False):
            connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
    elif not write:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def _execute_patiently(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """Wait for SQLite's locks in short steps: its own waiting begins at 1 ms, many times what a write takes."""
    end, pause_s = time.monotonic() + BUSY_TIMEOUT_S, SHORTEST_PAUSE_S
    while True:
        try:
            cursor.execute(statement, parameters)
            return True
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
        time.sleep(random.uniform(0.5, 1.0) * pause_s)
        pause_s = min(1.5 * pause_s, LONGEST_PAUSE_S)


def single_statements(engine: Engine) -> Engine:
    """The engine for transactions of one statement, which begin and end with it."""
    if engine.dialect.name == "postgresql":
        return engine.execution_options(single=True, isolation_level="AUTOCOMMIT")
    # MariaDB would be asked twice more to switch; its transactions begin with their first statement anyway.
    return engine.execution_options(single=True)


def _synchronise(connection: Connection, level: str) -> None:
    """Whether the next commit waits for the disk; the driver's connection remembers."""
    if connection.info.get("synchronous") != level:
        connection.exec_driver_sql(f"PRAGMA synchronous={level}")
        connection.info["synchronous"] = level
