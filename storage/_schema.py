"""Create the tables, Optuna's and ours, and bring ours up to date."""

import random
import time

from optuna.exceptions import StorageInternalError
from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DBAPIError

from storage import tables
from storage._optuna import check_schema, create_tables, keep_microseconds
from storage.database import Database
from storage.migrations import revisions

CREATE_ATTEMPTS = 20
TRIGGERS = {"studyhall_study_deleted", "studyhall_trial_deleted"}
"""On SQLite alone, where they do the work of foreign keys."""


def ensure_tables(database: Database) -> None:
    """Create what is missing of Optuna's tables and ours, and upgrade ours; safe in several processes at once.

    An upgrade that was killed midway is finished by the next call.

    Raises:
        DatabaseError: The database cannot be reached or written.
        SchemaError: It belongs to another version of Optuna, or to a later one of Studyhall.
    """
    with database.read() as connection:
        check_schema(connection)
        if _up_to_date(connection):
            return
    for attempt in range(1, CREATE_ATTEMPTS + 1):
        try:
            return _create(database)
        except (DBAPIError, StorageInternalError) as error:
            if attempt == CREATE_ATTEMPTS or not _created_meanwhile(error):
                cause = error if isinstance(error, DBAPIError) else error.__cause__
                if not isinstance(cause, DBAPIError):
                    raise
                raise database.explanation(cause) from error
            time.sleep(random.uniform(0.05, 0.3))  # seconds


def upgrade_tables(database: Database) -> None:
    """Bring our tables up to date where there are any; a database without them stays as it is.

    Raises:
        DatabaseError: The database cannot be reached or written.
        SchemaError: It belongs to another version of Optuna, or to a later one of Studyhall.
    """
    with database.read() as connection:
        ours = inspect(connection).has_table(tables.STUDIES.name)
    if ours:
        ensure_tables(database)


def _up_to_date(connection: Connection) -> bool:
    return revisions.revision(connection) == revisions.REVISIONS[-1] and _complete(connection)


def _complete(connection: Connection) -> bool:
    wanted, found = set(tables.metadata.tables), set(inspect(connection).get_table_names())
    if connection.dialect.name == "sqlite":
        names = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars()
        wanted, found = wanted | TRIGGERS, found | set(names)
    return wanted <= found


def _create(database: Database) -> None:
    create_tables(database.url)
    with database._writing.begin() as connection:
        revisions.lock(connection)
        keep_microseconds(connection)
        if _up_to_date(connection):
            return
        revisions.upgrade(connection)
        if not _complete(connection):
            revisions.forget(connection)
            revisions.upgrade(connection)


def _created_meanwhile(error: Exception) -> bool:
    # Of two processes that create the tables at once, one finds them existing midway; each database says so its way.
    text = f"{error} {error.__cause__}".lower()
    return any(sign in text for sign in ("already exists", "duplicate", "unique", "locked", "deadlock", "concurrent"))
