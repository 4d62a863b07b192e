"""A connection to the study's database: SQLite on one host, PostgreSQL or MariaDB for many."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from storage._filesystem import network_filesystem
from storage.errors import DatabaseError

BUSY_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10
DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}


def database_url(url: str) -> URL:
    """The URL with the driver we install; a plain file name ending in ``.db`` means SQLite.

    Raises:
        DatabaseError: It is no URL, names another kind of database, or an SQLite file on a network file system.
    """
    if re.fullmatch(r"[^:]+\.(db|sqlite3?)", url):
        url = f"sqlite:///{url}"
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise DatabaseError(f"storage {url!r} is no database URL; accepted: {_ACCEPTED}") from None
    name = parsed.drivername
    if name.partition("+")[0] not in {"sqlite", *DRIVERS}:
        raise DatabaseError(f"storage {redacted(url)!r}: {name!r} is not supported; accepted: {_ACCEPTED}")
    if name.startswith("sqlite"):
        return _local_file(parsed)
    return parsed.set(drivername=DRIVERS.get(name, name))


_ACCEPTED = "sqlite:///FILE.db, postgresql://USER:PASSWORD@HOST/NAME, mysql://… or mariadb://…"


def _local_file(url: URL) -> URL:
    if not url.database or url.database == ":memory:":
        raise DatabaseError("storage 'sqlite://' lives in memory, which no worker can share; give sqlite:///FILE.db")
    path = Path(url.database).absolute()
    if not path.parent.is_dir():
        raise DatabaseError(f"storage {path}: the folder {path.parent} does not exist; create it first")
    kind = network_filesystem(path.parent)
    if kind is not None:
        raise DatabaseError(
            f"storage {path} lies on {kind}, where SQLite's locks are not safe; use a local folder, or a "
            "PostgreSQL or MariaDB URL for several hosts"
        )
    return url.set(database=str(path))


def redacted(url: str | URL) -> str:
    """The URL without its password, for messages and logs."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "(no URL)"


def new_engine(url: URL, *, always_write: bool = False) -> Engine:
    """An engine whose SQLite transactions are explicit and safe for several processes.

    Args:
        url: From `database_url`.
        always_write: Begin every SQLite transaction with the write lock, for a caller (Optuna's storage) that
            turns readers into writers midway, which SQLite would refuse as a deadlock.
    """
    if url.get_backend_name() != "sqlite":
        key = "connect_timeout"
        return create_engine(url, pool_pre_ping=True, connect_args={key: CONNECT_TIMEOUT_S})
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    use_sqlite_locks(engine, always_write=always_write)
    return engine


def use_sqlite_locks(engine: Engine, *, always_write: bool) -> None:
    """Begin SQLite's transactions ourselves: ``BEGIN IMMEDIATE`` for writers, so that none can deadlock."""

    def connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    def begun(connection: Connection) -> None:
        write = always_write or connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)


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
        """A transaction that only reads.

        Raises:
            DatabaseError: The database cannot be reached.
        """
        with _explained(self.name), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may write; on SQLite it holds the only write lock from its start.

        Raises:
            DatabaseError: The database cannot be reached or written.
        """
        with _explained(self.name), self._writing.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except (OperationalError, DBAPIError) as error:
        raise DatabaseError(f"database {name}: {first_line(error)}; check that it runs and is reachable") from error


def first_line(error: SQLAlchemyError) -> str:
    """The driver's own message, one line, without SQL and parameters."""
    cause = getattr(error, "orig", None) or error
    return next((line.strip() for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
