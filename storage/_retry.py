"""Transactions that are tried again when the connection or a lock is lost."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from storage.database import Database
from storage.errors import DatabaseError

T = TypeVar("T")
logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 5.0
SQLSTATES = ("08", "40001", "40P01", "53300", "55P03", "57P01", "57P02", "57P03")
"""PostgreSQL: connection lost or refused, serialization failure, deadlock, too many clients, lock timeout, shutdown."""
MYSQL_CODES = (1040, 1053, 1205, 1213, 1927, 2002, 2003, 2006, 2013, 2055)
"""MariaDB: too many clients, shutdown, lock timeout, deadlock, connection killed, refused, gone or lost."""
SQLITE_WORDS = ("database is locked", "database table is locked", "database schema is locked")


def transient(error: BaseException | None) -> bool:
    """Whether the same statement may succeed later."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    original = error.orig
    state = getattr(original, "sqlstate", None)
    if state:
        return str(state).startswith(SQLSTATES)
    code = original.args[0] if original is not None and original.args else None
    if isinstance(code, int):
        return code in MYSQL_CODES
    if type(original).__module__.startswith("psycopg"):
        # Without a state the server never answered: refused, lost, or still starting.
        return type(original).__name__ == "OperationalError"
    return any(words in str(original) for words in SQLITE_WORDS)


def retried(database: Database, work: Callable[[Connection], T], *, write: bool, patience_s: float) -> T:
    """Run `work` in a transaction, again and again while the database is away or a lock is taken.

    When the answer to a COMMIT is lost nobody knows whether it took place, so `work` must find that out by itself:
    run a second time after a commit that did take place, it must change nothing and return the same.

    Args:
        database: Where.
        work: Given the connection, inside the transaction.
        write: Whether it writes.
        patience_s: Seconds of failures after which the error is raised.

    Raises:
        DatabaseError: It lasted longer than the patience, or is not one that passes.
    """
    end, pause, told = time.monotonic() + patience_s, FIRST_PAUSE_S, False
    while True:
        try:
            with database.write() if write else database.read() as connection:
                return work(connection)
        except DatabaseError as error:
            if not transient(error.__cause__) or time.monotonic() + pause > end:
                raise
            if not told and pause >= 1.0:
                logger.warning("%s; trying again for up to %.0f s", error, patience_s)
                told = True
        time.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(2 * pause, LONGEST_PAUSE_S)
