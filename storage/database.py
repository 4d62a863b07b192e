"""A connection to the study's database: SQLite on one host, PostgreSQL or MariaDB for many."""

import functools
import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError

from storage._engine import IDLE_TIMEOUT_S, new_engine, single_statements
from storage._transient import transient
from storage._url import database_url, redacted
from storage.errors import DatabaseError

P = ParamSpec("P")
T = TypeVar("T")
logger = logging.getLogger(__name__)

__all__ = ["Collision", "Database", "Unreachable", "database_url", "first_line", "redacted", "retried"]

COLLISIONS = 10
"""How often a transaction is tried that the database ends in favour of another."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 5.0
_DEADLOCK_STATES = ("40001", "40P01")  # PostgreSQL: serialization failure, deadlock
_DEADLOCK_CODES = (1020, 1213, 1412)  # MariaDB: record changed since last read, deadlock, table just upgraded
_REMEDIES = {
    "sqlite": "check that the file and its folder can be read and written, and that the disk has room",
    "postgresql": "check that it runs, is reachable and lets this user in",
    "mysql": "check that it runs, is reachable and lets this user in",
}


class Database:
    """One engine; `read` and `write` are transactions.

    A process makes its own: engines do not survive a fork. Threads may share it.
    """

    def __init__(self, url: str, *, patience_s: float = 0.0) -> None:
        """Prepare; nothing is connected yet.

        Args:
            url: Of an SQLite file, a PostgreSQL or a MariaDB database.
            patience_s: How long a `retried` transaction is tried while the database is away or a lock is taken.
        """
        self.url = database_url(url)
        self.patience_s = patience_s
        self._use(IDLE_TIMEOUT_S)

    def limit_idle(self, seconds: float) -> None:
        """Have a server end transactions in which this process falls silent, so that nobody waits longer for it.

        Args:
            seconds: The limit; 60 at first.
        """
        self.close()
        self._use(seconds)

    def _use(self, idle_timeout_s: float) -> None:
        self._engine = new_engine(self.url, idle_timeout_s)
        self._writing = self._engine.execution_options(write=True)
        self._writing_fast = self._engine.execution_options(write=True, durable=False)
        self._single = single_statements(self._writing_fast)

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
    def write(self, *, durable: bool = True) -> Iterator[Connection]:
        """A transaction that may write; on SQLite it holds the only write lock from its start.

        Elsewhere each of its statements sees what was committed before the statement.

        Args:
            durable: Whether it must outlive a crash of the machine. False saves SQLite the wait for the disk: such a
                crash may undo this transaction and those after it, up to the next durable one. Servers keep all.

        Raises:
            DatabaseError: The database cannot be reached or written.
            Collision: It was ended in favour of another transaction; see `retried`.
            Unreachable: The connection was lost or a lock not given; see `retried`.
            IntegrityError: Another transaction has written the same key, or removed what a row refers to.
        """
        with self._explained(), (self._writing if durable else self._writing_fast).begin() as connection:
            yield connection

    @contextmanager
    def statement(self) -> Iterator[Connection]:
        """A transaction of one statement, not durable: a server is asked once, and SQLite locked no longer than for it.

        Raises:
            DatabaseError, Collision, Unreachable, IntegrityError: As `write`.
        """
        with self._explained(), self._single.begin() as connection:
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
        kind = Collision if _collided(error) else Unreachable if transient(error) else DatabaseError
        unusable = isinstance(error, OperationalError | InterfaceError)
        remedy = f"; {_REMEDIES[self.url.get_backend_name()]}" if unusable else ""
        return kind(f"database {self.name}: {first_line(error)}{remedy}")


class Collision(DatabaseError):
    """The database ended a transaction in favour of another one; nothing of it was done."""


class Unreachable(DatabaseError):
    """The connection was lost or a lock not given in time; whether a COMMIT took place may be unknown."""


def retried(transaction: Callable[Concatenate[Database, P], T]) -> Callable[Concatenate[Database, P], T]:
    """Let a function that is one transaction run again: at once after a collision, for `patience_s` without a database.

    When the answer to a COMMIT is lost nobody knows whether it took place. So the function must find that out: run a
    second time after a commit that did take place, it changes nothing and returns the same.
    """

    @functools.wraps(transaction)
    def run(database: Database, *args: P.args, **kwargs: P.kwargs) -> T:
        began, pause = time.monotonic(), FIRST_PAUSE_S
        collisions = 0
        while True:
            try:
                return transaction(database, *args, **kwargs)
            except Collision:
                collisions += 1
                if collisions >= COLLISIONS:
                    raise
                time.sleep(random.uniform(0.0, 0.02 * collisions))  # seconds; apart from the one it collided with
            except Unreachable as error:
                if time.monotonic() + pause > began + database.patience_s:  # which may be cut short meanwhile
                    raise
                if pause == FIRST_PAUSE_S:
                    logger.warning("%s; trying again for up to %.0f s", error, database.patience_s)
                time.sleep(random.uniform(0.5, 1.0) * pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)

    return cast(Callable[Concatenate[Database, P], T], run)


def _collided(error: DBAPIError) -> bool:
    cause = error.orig
    code = cause.args[0] if cause is not None and cause.args else None
    return getattr(cause, "sqlstate", None) in _DEADLOCK_STATES or code in _DEADLOCK_CODES


def first_line(error: SQLAlchemyError) -> str:
    """The driver's own message, one line, without SQL and parameters."""
    cause = getattr(error, "orig", None) or error
    return next((line.strip() for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
