"""The database's clock, in UTC, at the statement (not at the transaction's start)."""

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime
from sqlalchemy.dialects.mysql import DATETIME
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnElement

TIMESTAMP = DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
"""Naive UTC with microseconds on every database."""


class utc_now(ColumnElement[datetime]):  # noqa: N801  reads as the SQL function it stands for
    """The database's time in UTC, `offset_s` seconds from now."""

    inherit_cache = False
    type = TIMESTAMP

    def __init__(self, offset_s: float = 0.0) -> None:
        self.offset_s = float(offset_s)


@compiles(utc_now, "postgresql")
def _postgresql(element: utc_now, compiler: Any, **kwargs: Any) -> str:
    return f"(clock_timestamp() AT TIME ZONE 'UTC' + make_interval(secs => {element.offset_s!r}))"


@compiles(utc_now, "mysql", "mariadb")
def _mysql(element: utc_now, compiler: Any, **kwargs: Any) -> str:
    return f"(UTC_TIMESTAMP(6) + INTERVAL {round(element.offset_s * 1e6)} MICROSECOND)"


@compiles(utc_now, "sqlite")
def _sqlite(element: utc_now, compiler: Any, **kwargs: Any) -> str:
    # SQLite has milliseconds; SQLAlchemy reads the digits after the point as microseconds.
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', '{element.offset_s:+.3f} seconds') || '000')"
