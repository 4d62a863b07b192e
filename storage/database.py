"""A connection to the study's database: SQLite on one host, PostgreSQL or MariaDB for many."""

import functools
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError

from storage._engine import new_engine
from storage._url import database_url, redacted
from storage.errors import DatabaseError

P = ParamSpec("P")
T = TypeVar("T")

__all__ = ["Collision", "Database", "database_url", "first_line", "redacted", "retry_collisions"]

COLLISIONS = 10
"""How often a transaction is tried that the database ends in favour of another."""
_DEADLOCK_STATES = ("40001", "40P01")  # PostgreSQL: serialization failure, deadlock
_DEADLOCK_CODES = (1020, 1213)  # MariaDB: record changed since last read, deadlock
_REMEDIES = {
    "sqlite": "check that the file and its folder can be read and written, and that the disk has room",
    "postgresql": "check that it runs, is reachable and lets this user in",
    "mysql": "check that it runs, is reachable and lets this user in",
}


class Database:
    """One engine; `read` and `write` are transactions.

    A process makes its own: engines do not survive a fork. Threads may share it.
    """

    def __init__(self, url: str) -> None:
        self.url = database_url(url)
        self._engine = new_engine(self.url)
        self._writing = self._engine.execution_options(write=True)

    @property
    def name(self) -> str:
        """The URL without its password."""
        return redacted(self.url)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads, and sees the database as it was at one moment.

        Raises:
            DatabaseError: The database cannot be reached.
        """
        with self._explained(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may write; on SQLite it holds the only write lock from its start.

        Elsewhere each of its statements sees what was committed before the statement.

        Raises:
            DatabaseError: The database cannot be reached or written.
            Collision: It was ended in favour of another transaction; see `retry_collisions`.
            IntegrityError: Another transaction has written the same key, or removed what a row refers to.
        """
        with self._explained(), self._writing.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except DBAPIError as error:
            raise self.explanation(error) from error

    def explanation(self, error: DBAPIError) -> DatabaseError:
        """What a driver's error means to a user."""
        kind = Collision if _collided(error) else DatabaseError
        unusable = isinstance(error, OperationalError | InterfaceError)
        remedy = f"; {_REMEDIES[self.url.get_backend_name()]}" if unusable else ""
        return kind(f"database {self.name}: {first_line(error)}{remedy}")


class Collision(DatabaseError):
    """The database ended a transaction in favour of another one; nothing of it was done."""


def retry_collisions(transaction: Callable[P, T]) -> Callable[P, T]:
    """Let a function that is one transaction run again when the database ends it in favour of another one."""

    @functools.wraps(transaction)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        for tried in range(1, COLLISIONS):
            try:
                return transaction(*args, **kwargs)
            except Collision:
                time.sleep(random.uniform(0.0, 0.02 * tried))  # seconds; apart from the one it collided with
        return transaction(*args, **kwargs)

    return run


def _collided(error: DBAPIError) -> bool:
    cause = error.orig
    code = cause.args[0] if cause is not None and cause.args else None
    return getattr(cause, "sqlstate", None) in _DEADLOCK_STATES or code in _DEADLOCK_CODES


def first_line(error: SQLAlchemyError) -> str:
    """The driver's own message, one line, without SQL and parameters."""
    cause = getattr(error, "orig", None) or error
    return next((line.strip() for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
