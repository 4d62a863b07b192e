"""How each kind of database is connected to: locks, isolation, and limits on every wait."""

import random
import sqlite3
import time
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

BUSY_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10
ANSWER_TIMEOUT_S = 90
"""Longest wait for one answer; more than the 50 s for which MariaDB itself waits for a lock."""
IDLE_TIMEOUT_S = 60
"""After so long without a statement the server ends a transaction, and with it the locks of a frozen process."""

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
        # MySQL, which has no such limit, reads /*M! */ as a comment.
        "init_command": f"SET NAMES utf8mb4 /*M!100300 , SESSION idle_transaction_timeout={IDLE_TIMEOUT_S} */",
    },
}


def engine_options(url: URL) -> dict[str, Any]:
    """Arguments of `create_engine`; what the URL's query sets itself goes first."""
    kind = url.get_backend_name()
    limits = {key: value for key, value in _LIMITS[kind].items() if key not in url.query}
    if kind == "sqlite":
        return {"connect_args": limits}
    # With repeatable reads a statement after the wait for a lock would not see what the lock's last owner wrote.
    return {"connect_args": limits, "pool_pre_ping": True, "isolation_level": "READ COMMITTED"}


def new_engine(url: URL) -> Engine:
    """An engine for `Database`; transactions with the execution option ``write`` may write.

    Args:
        url: From `database_url`.
    """
    engine = create_engine(url, **engine_options(url))
    _prepare(engine)
    return engine


def _prepare(engine: Engine) -> None:
    """Set up every connection that the engine makes from now on."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _connected_to_sqlite)
    elif engine.dialect.name == "postgresql":
        event.listen(engine, "connect", _connected_to_postgresql)
    event.listen(engine, "begin", _begun)


def _connected_to_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own
    try:
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous=FULL")
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


def _connected_to_postgresql(connection: Any, record: Any) -> None:
    connection.autocommit = True
    connection.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_TIMEOUT_S}s'")
    connection.autocommit = False


def _begun(connection: Connection) -> None:
    """Begin SQLite's transactions ourselves: ``BEGIN IMMEDIATE`` for writers, so that none can deadlock.

    On a server, a transaction that only reads sees one moment.
    """
    write = connection.get_execution_options().get("write", False)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
    elif not write:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
