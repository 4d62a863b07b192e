"""The fence around an attempt: its writes take place only while its token is the running one."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.sql.dml import Update

from storage import _failpoints
from storage.clock import utc_now
from storage.tables import ATTEMPTS, AttemptState


def write_fenced(connection: Connection, token: str, values: Mapping[str, Any], *, ends: bool = False) -> bool:
    """Set columns of an attempt; False, and nothing, if another agent has taken over its trial.

    Args:
        token: Of the attempt.
        values: By column; at least one.
        ends: Writes the present as the attempt's end.
    """
    statement = _statement(tuple(sorted(values)), ends, _failpoints.fenced())
    given = {f"new_{name}": value for name, value in values.items()} | {"its_token": token}
    return connection.execute(statement, given).rowcount == 1


def hold(connection: Connection, token: str) -> bool:
    """Whether the attempt is the running one; then nobody takes its trial over before the transaction ends."""
    statement = _HELD if _failpoints.fenced() else _EVER
    return connection.scalar(statement, {"its_token": token}) is not None


_EVER = select(ATTEMPTS.c.token).where(ATTEMPTS.c.token == bindparam("its_token")).with_for_update()
_HELD = _EVER.where(ATTEMPTS.c.state == AttemptState.RUNNING)


@lru_cache
def _statement(columns: tuple[str, ...], ends: bool, fenced: bool) -> Update:
    """Made once, since making one costs more than executing it."""
    mine = ATTEMPTS.c.token == bindparam("its_token")
    if fenced:
        mine &= ATTEMPTS.c.state == AttemptState.RUNNING
    new: dict[str, Any] = {name: bindparam(f"new_{name}", type_=ATTEMPTS.c[name].type) for name in columns}
    if ends:
        new["ended_at"] = utc_now()
    return update(ATTEMPTS).where(mine).values(new)
