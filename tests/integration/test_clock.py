import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, select

from storage.clock import utc_now
from storage.database import Database

ZONES = {"postgresql": "SET TIME ZONE 'Asia/Tokyo'", "mysql": "SET SESSION time_zone = '+09:00'"}


def now(connection: Connection, offset_s: float = 0.0) -> datetime:
    found = connection.scalar(select(utc_now(offset_s)))
    assert found is not None
    return found


def utc() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def test_the_databases_time_is_utc(database: Database) -> None:
    with database.read() as connection:
        assert abs(now(connection) - utc()) < timedelta(seconds=2)


def test_the_servers_time_zone_does_not_matter(database: Database) -> None:
    with database.read() as connection:
        zone = ZONES.get(database.url.get_backend_name())
        if zone is not None:
            connection.exec_driver_sql(zone)

        assert abs(now(connection) - utc()) < timedelta(seconds=2)


def test_time_passes_within_a_transaction(database: Database) -> None:
    with database.read() as connection:
        before = now(connection)
        time.sleep(0.02)

        assert timedelta(seconds=0.015) < now(connection) - before < timedelta(seconds=2)


def test_an_offset_is_exact_to_the_millisecond(database: Database) -> None:
    offsets = (-3600.25, -0.5, 0.001, 60.0, 864_000.125, 1e-9)
    with database.read() as connection:
        here, *there = connection.execute(select(utc_now(), *map(utc_now, offsets))).one()

    assert [(time - here).total_seconds() for time in there] == pytest.approx(offsets, rel=0, abs=0.0015)


def test_times_are_compared_by_the_database_as_by_python(database: Database) -> None:
    with database.read() as connection:
        order = select(utc_now(-0.002) < utc_now(), utc_now(86_400.0) > utc_now(86_399.9), utc_now(-1e7) < utc_now())

        assert all(connection.execute(order).one())


def test_microseconds_are_fractions_of_the_second(database: Database) -> None:
    with database.read() as connection:
        seen = []
        for _ in range(20):
            seen.append(now(connection).microsecond)
            time.sleep(0.003)

    assert len(set(seen)) > 10
    if database.url.get_backend_name() == "sqlite":
        assert all(microsecond % 1000 == 0 for microsecond in seen)
