"""The PostgreSQL server under a simulated fleet: a database of its own, and what its processes use."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg.rows import namedtuple_row
from sqlalchemy.engine import URL

from storage.database import database_url

DATABASE = "bench_scale"
SETTINGS = ("server_version", "max_connections", "shared_buffers", "synchronous_commit", "fsync", "autovacuum")


class Server:
    """A server that lets us create a database; its processes are seen where it runs on this machine."""

    def __init__(self, url: str) -> None:
        """Take any database of the server as the place from which ours is created.

        Raises:
            ValueError: It is no PostgreSQL.
        """
        self._entry: URL = database_url(url)
        if self._entry.get_backend_name() != "postgresql":
            raise ValueError(f"{self._entry.get_backend_name()} is given; this benchmark needs a PostgreSQL server")
        self.url = self._entry.set(database=DATABASE).render_as_string(hide_password=False)

    def ask(self, statement: str, *, ours: bool = True) -> list[Any]:
        """Rows of a statement, on a connection of its own that is closed again."""
        url = (self._entry.set(database=DATABASE) if ours else self._entry).set(drivername="postgresql")
        address = url.render_as_string(hide_password=False)
        with psycopg.connect(address, autocommit=True, row_factory=namedtuple_row) as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.description else []

    def check_unused(self) -> None:
        """Two runs at once would drop each other's database.

        Raises:
            RuntimeError: Somebody is connected to it.
        """
        users = [row.datname for row in self.ask("SELECT datname FROM pg_stat_activity", ours=False)].count(DATABASE)
        if users:
            raise RuntimeError(f"{users} connections to the database {DATABASE}: wait for the other run to end")

    @contextmanager
    def fresh_database(self) -> Iterator[str]:
        """An empty database while inside; its URL."""
        self.drop()
        self.ask(f"CREATE DATABASE {DATABASE}", ours=False)
        try:
            yield self.url
        finally:
            self.drop()

    def drop(self) -> None:
        """Remove our database, whoever is connected."""
        self.ask(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)", ours=False)

    def settings(self) -> dict[str, str]:
        """What the figures depend on."""
        return {name: self.ask(f"SHOW {name}", ours=False)[0][0] for name in SETTINGS}

    def backends(self) -> list[int]:
        """Process ids of the connections to our database, but for the one that asks."""
        found = self.ask(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return [row.pid for row in found]

    def rollbacks(self) -> tuple[int, int]:
        """Transactions rolled back and deadlocks since our database was created."""
        row = self.ask("SELECT xact_rollback, deadlocks FROM pg_stat_database WHERE datname = current_database()")[0]
        return row.xact_rollback, row.deadlocks

    def megabytes(self) -> float:
        """Size of our database."""
        return float(self.ask("SELECT pg_database_size(current_database())")[0][0]) / 2**20

    def analyze(self) -> None:
        """What autovacuum does in time, at once."""
        self.ask("VACUUM ANALYZE")


def cpu_seconds(pids: list[int]) -> float:
    """CPU that these processes have used so far; 0 for those that are not on this machine."""
    total = 0.0
    for pid in pids:
        with suppress(psutil.Error):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total


def running_ns(pid: int) -> int:
    """Nanoseconds for which a process of one thread has run; 0 where the kernel does not say."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    except OSError:
        return 0


def busy_seconds() -> float:
    """CPU that this machine has used so far."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)
