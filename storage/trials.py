"""Optuna's storage on our database: what samplers, pruners and the dashboard read and write."""

import time

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from storage import tables
from storage._optuna import check_schema
from storage.database import CONNECT_TIMEOUT_S, Database, database_url, first_line, redacted, use_sqlite_locks
from storage.errors import DatabaseError

CREATE_ATTEMPTS = 10


def open_storage(url: str) -> BaseStorage:
    """Open (and on first use create) Optuna's tables and ours in the database.

    Safe to call from several processes at once. The result is any Optuna program's `storage`.

    Raises:
        DatabaseError: The URL is wrong, or the database cannot be reached.
        SchemaError: The database belongs to another version of Optuna.
    """
    for attempt in range(CREATE_ATTEMPTS):
        try:
            return _open(url)
        except (OperationalError, ProgrammingError, IntegrityError) as error:
            # Two processes that create the tables at once: one of them finds them existing midway.
            if attempt == CREATE_ATTEMPTS - 1 or not _created_meanwhile(error):
                raise DatabaseError(
                    f"database {redacted(database_url(url))}: {first_line(error)}; check that it runs and is reachable"
                ) from error
            time.sleep(0.1 * (attempt + 1))  # seconds
    raise AssertionError("unreachable")


def _created_meanwhile(error: SQLAlchemyError) -> bool:
    text = str(error).lower()
    return any(sign in text for sign in ("already exists", "duplicate", "unique", "locked"))


def _open(url: str) -> BaseStorage:
    database = Database(url)
    with database._engine.begin() as connection:
        check_schema(connection)
    backend = RDBStorage(
        database.url.render_as_string(hide_password=False), engine_kwargs={"connect_args": _connect_args(database)}
    )
    if database.url.get_backend_name() == "sqlite":
        backend.engine.dispose()  # its first connections were made before the listeners
        use_sqlite_locks(backend.engine, always_write=True)
    with database._writing.begin() as connection:
        tables.metadata.create_all(connection)
    database.close()
    return _CachedStorage(backend)


def _connect_args(database: Database) -> dict[str, float]:
    if database.url.get_backend_name() == "sqlite":
        return {"timeout": 30.0}
    return {"connect_timeout": CONNECT_TIMEOUT_S}


def quiet_optuna() -> None:
    """Silence Optuna's own log lines: a trial's outcome is logged once, by the agent."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
