"""What a private database server says of itself."""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import text

from storage._server_folder import ServerFolder
from storage._server_host import other_host
from storage._server_process import running_pid
from storage._url import redacted
from storage.database import Database
from storage.errors import DatabaseError

FACTS = text(
    "SELECT split_part(current_setting('server_version'), ' ', 1), pg_database_size(current_database()), "
    "(SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid())"
)


@dataclass(frozen=True)
class ServerStatus:
    """One look at a server; what cannot be known is None."""

    running: bool
    pid: int | None = None
    host: str | None = None  # None: this one
    address: str | None = None  # without its password
    version: str | None = None
    size_bytes: int | None = None
    connections: int | None = None
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


def examine(folder: ServerFolder) -> ServerStatus:
    """Look at the processes on this host, and ask the server if there should be one."""
    host, pid, url = other_host(folder), running_pid(folder.data), folder.read("address")
    address = redacted(url.strip()) if url else None
    if host is None and pid is None:
        version = (folder.data / "PG_VERSION").read_text(encoding="utf-8").strip()
        return ServerStatus(running=False, address=address, version=version)
    if not url:
        return ServerStatus(
            running=host is None, pid=pid, host=host, problem=f"the file {folder.path}/address is gone; stop and start"
        )
    try:
        version, size, connections = _facts(url.strip())
    except DatabaseError as error:
        return ServerStatus(running=host is None, pid=pid, host=host, address=address, problem=str(error))
    return ServerStatus(True, pid, host, address, version, size, connections)


def _facts(url: str) -> tuple[str, int, int]:
    database = Database(url)
    try:
        with database.read() as connection:
            version, size, connections = connection.execute(FACTS).one()
        return version, size, connections
    finally:
        database.close()
