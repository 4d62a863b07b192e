"""Databases for tests: each test runs on SQLite, PostgreSQL and MariaDB, in a database of its own."""

import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import servers
from jobs import stock_storage
from optuna.storages import RDBStorage
from servers import Server, Tables

from storage.database import Database, redacted

KINDS = ("sqlite", "postgresql", "mariadb")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    with servers.postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> Server:
    server = servers.mariadb()
    if server is None:
        pytest.skip(
            f"no MariaDB answers at {redacted(servers.mysql_url())}; start one, or set {servers.MYSQL_VARIABLE}"
        )
    return server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("template") / "template.db"
    servers.create_tables(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def postgresql_tables(postgresql_server: Server) -> Iterator[Tables]:
    with postgresql_server.database() as url:
        tables = Tables(url)
        yield tables
        tables.close()


@pytest.fixture(scope="session")
def mariadb_tables(mariadb_server: Server) -> Iterator[Tables]:
    with mariadb_server.database() as url:
        tables = Tables(url)
        yield tables
        tables.close()


@pytest.fixture(params=KINDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A new database without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/study.db"
        return
    with request.getfixturevalue(f"{request.param}_server").database() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """A private SQLite file with all tables and no rows."""
    shutil.copy(sqlite_template, tmp_path / "study.db")
    return f"sqlite:///{tmp_path}/study.db"


@pytest.fixture
def postgresql_url(postgresql_tables: Tables) -> Iterator[str]:
    """A private PostgreSQL database with all tables and no rows."""
    yield postgresql_tables.url
    postgresql_tables.empty()


@pytest.fixture
def mariadb_url(mariadb_tables: Tables) -> Iterator[str]:
    """A private MariaDB database with all tables and no rows."""
    yield mariadb_tables.url
    mariadb_tables.empty()


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest) -> str:
    """A private database with all tables and no rows."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
def opened() -> Iterator[Callable[[str], Database]]:
    """Open databases, closed at the end."""
    databases: list[Database] = []

    def open_database(url: str) -> Database:
        databases.append(Database(url))
        return databases[-1]

    yield open_database
    for database in databases:
        database.close()


@pytest.fixture
def database(url: str, opened: Callable[[str], Database]) -> Database:
    return opened(url)


@pytest.fixture(scope="session")
def processes() -> Iterator[ProcessPoolExecutor]:
    """Eight spawned processes, which start when they are first needed."""
    with ProcessPoolExecutor(8, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture
def stock() -> Iterator[Callable[[str], RDBStorage]]:
    """Open a database as any other Optuna program does; closed at the end."""
    storages: list[RDBStorage] = []

    def open_stock(url: str) -> RDBStorage:
        storages.append(stock_storage(url))
        return storages[-1]

    yield open_stock
    for storage in storages:
        storage.remove_session()
        storage.engine.dispose()
