"""The database's clock, in UTC, at the statement (not at the transaction's start)."""

import time
from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, Float, bindparam
from sqlalchemy.dialects.mysql import DATETIME
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


def awake() -> float:
    """Seconds on this machine's clock that nobody sets; it goes on while the process or the machine sleeps."""
    return time.clock_gettime(_CLOCK)


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
TIMESTAMP = DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
"""Naive UTC with microseconds on every database."""


class utc_now(FunctionElement[datetime]):  # in lower case: it reads as the SQL function it stands for
    """The database's time in UTC, `offset_s` seconds from now."""

    inherit_cache = True
    type = TIMESTAMP

    def __init__(self, offset_s: float = 0.0) -> None:
        super().__init__(bindparam(None, float(offset_s), Float(), unique=True))


@compiles(utc_now, "postgresql")
def _postgresql(element: utc_now, compiler: Any, **kwargs: Any) -> str:
    offset = compiler.process(element.clauses, **kwargs)
    return f"(clock_timestamp() AT TIME ZONE 'UTC' + make_interval(secs => {offset}))"


@compiles(utc_now, "mysql", "mariadb")
def _mysql(element: utc_now, compiler: Any, **kwargs: Any) -> str:
    offset = compiler.process(element.clauses, **kwargs)
    return f"(UTC_TIMESTAMP(6) + INTERVAL ROUND({offset} * 1000000) MICROSECOND)"


@compiles(utc_now, "sqlite")
def _sqlite(element: utc_now, compiler: Any, **kwargs: Any) -> str:
    # SQLite has milliseconds; SQLAlchemy reads the digits after the point as microseconds.
    offset = compiler.process(element.clauses, **kwargs)
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', printf('%+.3f seconds', {offset})) || '000')"


class seconds_between(FunctionElement[float]):  # in lower case, as above
    """Seconds from the first time to the second."""

    inherit_cache = True
    type = Float()


@compiles(seconds_between, "postgresql")
def _postgresql_seconds(element: seconds_between, compiler: Any, **kwargs: Any) -> str:
    begin, end = (compiler.process(clause, **kwargs) for clause in element.clauses)
    return f"EXTRACT(EPOCH FROM ({end}) - ({begin}))"


@compiles(seconds_between, "mysql", "mariadb")
def _mysql_seconds(element: seconds_between, compiler: Any, **kwargs: Any) -> str:
    begin, end = (compiler.process(clause, **kwargs) for clause in element.clauses)
    return f"(TIMESTAMPDIFF(MICROSECOND, {begin}, {end}) / 1e6)"


@compiles(seconds_between, "sqlite")
def _sqlite_seconds(element: seconds_between, compiler: Any, **kwargs: Any) -> str:
    begin, end = (compiler.process(clause, **kwargs) for clause in element.clauses)
    return f"((julianday({end}) - julianday({begin})) * 86400.0)"
