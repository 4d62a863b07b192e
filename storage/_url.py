"""What a storage URL may be, and how it is shown."""

import re
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from storage._filesystem import network_filesystem
from storage.errors import AddressError

DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",  # the dialect that Optuna knows; it finds out which server answers
}
ACCEPTED = "sqlite:///FILE.db, postgresql://USER:PASSWORD@HOST/NAME, mysql://… or mariadb://…"
SECRETS = ("password", "passwd", "sslpassword")


def database_url(url: str) -> URL:
    """The URL with the driver we install; a plain file name ending in ``.db`` means SQLite.

    Raises:
        AddressError: It is no URL, names another kind of database, or an SQLite file on a network file system.
    """
    if re.fullmatch(r"[^:]+\.(db|sqlite3?)", url):
        return _local_file(URL.create("sqlite", database=url))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: the port is no number
        raise AddressError(f"storage {redacted(url)!r} is no database URL; accepted: {ACCEPTED}") from None
    kind, _, driver = parsed.drivername.partition("+")
    if kind == "sqlite" and driver in ("", "pysqlite"):
        return _local_file(parsed.set(drivername="sqlite"))
    if kind not in DRIVERS:
        raise AddressError(f"storage {redacted(url)!r}: {parsed.drivername!r} is not supported; accepted: {ACCEPTED}")
    return _server(parsed.set(drivername=DRIVERS[kind]))


def _server(url: URL) -> URL:
    if "@" in (url.host or ""):
        raise AddressError(
            f"storage {redacted(url.render_as_string(hide_password=False))!r}: a password that contains @ "
            "must be written with %40 in its place"
        )
    if url.get_backend_name() == "mysql" and not url.database:
        raise AddressError(f"storage {redacted(url)!r} names no database; add its name: mysql://HOST/NAME")
    return url


def _local_file(url: URL) -> URL:
    if url.host:
        raise AddressError(f"storage {redacted(url)!r}: write three slashes before a file: sqlite:///{url.host}")
    if not url.database or ":memory:" in url.database or "memory" in url.query.values():
        raise AddressError(
            f"storage {redacted(url)!r} lives in memory, which no worker can share; give sqlite:///FILE.db"
        )
    if url.database.startswith("file:"):
        raise AddressError(f"storage {redacted(url)!r}: give the file's path alone: sqlite:///FILE.db")
    path = Path(url.database).absolute()
    file = path.resolve()
    if path.is_dir():
        raise AddressError(f"storage {path} is a folder; name a file in it: sqlite:///{path}/studyhall.db")
    if not file.parent.is_dir():
        raise AddressError(f"storage {path}: the folder {file.parent} does not exist; create it first")
    kind = network_filesystem(file.parent)
    if kind is not None:
        raise AddressError(
            f"storage {path} lies on {kind}, where SQLite's locks are not safe; use a local folder, or a "
            "PostgreSQL or MariaDB URL for several hosts"
        )
    return url.set(database=str(path))


def redacted(url: str | URL) -> str:
    """The URL without its password, for messages and logs; of a text that is no URL, what follows the last ``@``."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is None or "@" in (parsed.host or ""):
        return re.sub(r"^(\w[\w+]*:/*)?.*@", r"\1***@", str(url), flags=re.DOTALL)
    return parsed.difference_update_query(SECRETS).render_as_string(hide_password=True)
