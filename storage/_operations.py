"""Writes that may be tried again after an unanswered COMMIT: each leaves its token and its result."""

import json
import uuid
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, insert, select

from storage.clock import utc_now
from storage.tables import OPERATIONS


def new_token() -> str:
    """A name for one write, made before its first try."""
    return uuid.uuid4().hex


def once(connection: Connection, token: str, work: Callable[[], Any]) -> Any:
    """Do the work unless a transaction with this token has been committed; its result, JSON, either way."""
    done = connection.scalar(select(OPERATIONS.c.result).where(OPERATIONS.c.token == token))
    if done is not None:
        return json.loads(done)
    result = work()
    connection.execute(insert(OPERATIONS).values(token=token, result=json.dumps(result), done_at=utc_now()))
    return result
