"""Create the tables: Optuna's, ours, and what keeps ours in step with deletions by stock Optuna."""

import random
import time

from optuna.exceptions import StorageInternalError
from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DBAPIError

from storage import tables
from storage._optuna import check_schema, create_tables, keep_microseconds
from storage.database import Database

CREATE_ATTEMPTS = 20

TRIGGERS = {
    "studyhall_study_deleted": """
        CREATE TRIGGER IF NOT EXISTS studyhall_study_deleted AFTER DELETE ON studies BEGIN
            DELETE FROM studyhall_test_openings WHERE study_id = OLD.study_id;
            DELETE FROM studyhall_changes WHERE study_id = OLD.study_id;
            DELETE FROM studyhall_attempts WHERE study_id = OLD.study_id;
            DELETE FROM studyhall_workers
                WHERE agent_id IN (SELECT agent_id FROM studyhall_agents WHERE study_id = OLD.study_id);
            DELETE FROM studyhall_agents WHERE study_id = OLD.study_id;
            DELETE FROM studyhall_studies WHERE study_id = OLD.study_id;
        END""",
    "studyhall_trial_deleted": """
        CREATE TRIGGER IF NOT EXISTS studyhall_trial_deleted AFTER DELETE ON trials BEGIN
            DELETE FROM studyhall_test_openings WHERE trial_id = OLD.trial_id;
            DELETE FROM studyhall_attempts WHERE trial_id = OLD.trial_id;
        END""",
}
"""On SQLite alone: stock Optuna switches no foreign keys on, and SQLite gives a deleted study's id to the next one."""


def ensure_tables(database: Database) -> None:
    """Create what is missing of Optuna's tables and ours; safe to call from several processes at once.

    Raises:
        DatabaseError: The database cannot be reached or written.
        SchemaError: It belongs to another version of Optuna.
    """
    with database.read() as connection:
        check_schema(connection)
        if _complete(connection):
            return
    for _ in range(CREATE_ATTEMPTS - 1):
        try:
            return _create(database)
        except (DBAPIError, StorageInternalError) as error:
            if not _created_meanwhile(error):
                break
            time.sleep(random.uniform(0.05, 0.3))  # seconds
    try:
        _create(database)
    except DBAPIError as error:
        raise database.explanation(error) from error
    except StorageInternalError as error:
        if isinstance(error.__cause__, DBAPIError):
            raise database.explanation(error.__cause__) from error
        raise


def _complete(connection: Connection) -> bool:
    wanted, found = set(tables.metadata.tables), set(inspect(connection).get_table_names())
    if connection.dialect.name == "sqlite":
        names = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars()
        wanted, found = wanted | set(TRIGGERS), found | set(names)
    return wanted <= found


def _create(database: Database) -> None:
    create_tables(database.url)
    with database._writing.begin() as connection:
        keep_microseconds(connection)
        tables.metadata.create_all(connection)
        if connection.dialect.name == "sqlite":
            for trigger in TRIGGERS.values():
                connection.exec_driver_sql(trigger)


def _created_meanwhile(error: Exception) -> bool:
    # Of two processes that create the tables at once, one finds them existing midway; each database says so its way.
    text = f"{error} {error.__cause__}".lower()
    return any(sign in text for sign in ("already exists", "duplicate", "unique", "locked", "deadlock", "concurrent"))
