"""Which revision our tables are at, and how they get to the newest one."""

import logging
import threading
from pathlib import Path

from sqlalchemy import Connection, column, delete, inspect, select, table

from storage.database import Unreachable, redacted
from storage.errors import SchemaError

REVISIONS = ("0001", "0002", "0003", "0004", "0005")
"""Those that this version knows, oldest first."""
VERSION_TABLE = "studyhall_alembic_version"
"""Not Optuna's ``alembic_version``: a second row there would make Optuna refuse the database."""
LOCK_TIMEOUT_S = 60
"""Longest wait for another process that changes the tables, and for each table's own lock."""

_VERSION = table(VERSION_TABLE, column("version_num"))
_LOCK_KEY = int.from_bytes(b"studyhal")  # PostgreSQL's locks are 64-bit numbers
_LOCK_NAME = "CONCAT('studyhall ', SHA1(DATABASE()))"  # MariaDB's are known to all databases of the server
_one_thread = threading.Lock()  # Alembic's `op` and `context` are global to the process


def revision(connection: Connection) -> str | None:
    """The revision that is recorded, or None: a new database, or one of Studyhall 0.1.0, which recorded none.

    Raises:
        SchemaError: It is not one of `REVISIONS`.
    """
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = sorted(connection.scalars(select(_VERSION.c.version_num)))
    unknown = [number for number in found if number not in REVISIONS]
    if unknown:
        raise SchemaError(
            f"Studyhall's tables in the database have revision {', '.join(unknown)}; this version of Studyhall knows "
            f"{', '.join(REVISIONS)}: upgrade Studyhall (pip install --upgrade studyhall), or give another database"
        )
    return found[0] if len(found) == 1 else None


def upgrade(connection: Connection, to: str = REVISIONS[-1]) -> None:
    """Bring our tables to a revision, in the connection's transaction; Optuna's tables must exist.

    Raises:
        DBAPIError: The database cannot be written.
    """
    # Imported here, as few that open a database ever need it.
    from alembic import command
    from alembic.config import Config

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    with _one_thread:
        command.upgrade(config, to)


def forget(connection: Connection) -> None:
    """Let the next `upgrade` go through all revisions: somebody has removed what they made."""
    connection.execute(delete(_VERSION))


def lock(connection: Connection) -> None:
    """Let no other process change our tables until the connection's transaction ends.

    On SQLite that is what every transaction does that may write.

    Raises:
        Unreachable: Another one did so for longer than `LOCK_TIMEOUT_S`.
        DBAPIError: Likewise.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_KEY})")
    elif connection.dialect.name in ("mysql", "mariadb"):
        connection.detach()  # closed at the transaction's end, and with it go the lock and the timeout
        connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {LOCK_TIMEOUT_S}")
        if not connection.exec_driver_sql(f"SELECT GET_LOCK({_LOCK_NAME}, {LOCK_TIMEOUT_S})").scalar():
            name = redacted(connection.engine.url)
            raise Unreachable(f"database {name}: another process has changed it for {LOCK_TIMEOUT_S} s; try again")
