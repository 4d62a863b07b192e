"""The life of a trial: claimed with a lease, reported on, finished or handed back.

Each function is one transaction. An attempt is fenced by its random token: a write whose token is no longer
the running one raises `LeaseLost` and changes nothing. Times come from the database's clock.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import TrialState
from sqlalchemy import Connection, func, insert, select, update

from storage import _optuna, _trial_rows
from storage.clock import utc_now
from storage.database import Database, retried
from storage.errors import LeaseLost
from storage.tables import ATTEMPTS, STUDIES, AttemptState, StudyState

LONGEST_MESSAGE = 50_000
"""Characters kept of a message's end, where a traceback names its error."""
LONGEST_ATTRIBUTE = 65_535
"""Bytes of an attribute's JSON that every database takes into Optuna's column."""


@dataclass(frozen=True)
class Claim:
    """A trial that is ours to run until the lease ends.

    Attributes:
        attempt: 1 for a new trial, one more each time it is taken up again.
        token: The fence of this attempt.
        checkpoint: Where the state of an earlier attempt lies, or None to begin at the first epoch.
    """

    study_id: int
    trial_id: int
    number: int
    attempt: int
    token: str
    checkpoint: str | None = None


@retried
def renew(database: Database, study_id: int, tokens: Sequence[str], lease_s: float) -> tuple[StudyState, set[str]]:
    """Renew leases, also expired ones that nobody has noticed yet.

    Returns:
        The study's state (STOPPED if it was deleted), and those of the tokens that are still ours.
    """
    with database.write() as connection:
        held: set[str] = set()
        if tokens:
            mine = ATTEMPTS.c.token.in_(tokens) & (ATTEMPTS.c.state == AttemptState.RUNNING)
            connection.execute(update(ATTEMPTS).where(mine).values(expires_at=utc_now(lease_s)))
            held.update(connection.scalars(select(ATTEMPTS.c.token).where(mine)))
        state = connection.scalar(select(STUDIES.c.state).where(STUDIES.c.study_id == study_id))
    return StudyState(state or StudyState.STOPPED), held


@retried
def sample(database: Database, claim: Claim, parameters: Mapping[str, tuple[float, BaseDistribution]]) -> None:
    """Write a trial's parameters together: internal value and distribution by name; those it has already stay.

    Raises:
        LeaseLost: Somebody else has taken over the trial.
    """
    with database.write() as connection:
        _fence(connection, claim, epoch=ATTEMPTS.c.epoch)
        _trial_rows.add_parameters(connection, claim.trial_id, parameters)


@retried
def report(database: Database, claim: Claim, epoch: int, value: float, lease_s: float) -> None:
    """Record one epoch's value and renew the lease; an epoch that is recorded already stays as it is.

    Raises:
        LeaseLost: Somebody else has taken over the trial, or another Optuna program has ended it.
    """
    with database.write() as connection:
        _fence(connection, claim, expires_at=utc_now(lease_s), epoch=epoch)
        running = _trial_rows.report(connection, claim.trial_id, epoch, value)
        if not running:
            _fence(connection, claim, state=AttemptState.FINISHED, ended_at=utc_now(), message=_FOREIGN_END)
    if not running:
        raise _ended_by_another(claim)


_FOREIGN_END = "another Optuna program ended the trial"


def _ended_by_another(claim: Claim) -> LeaseLost:
    return LeaseLost(f"trial {claim.number}, attempt {claim.attempt}: {_FOREIGN_END}; what it wrote stays")


@retried
def checkpoint(database: Database, claim: Claim, place: str) -> None:
    """Name the file that the next attempt goes on from; files cannot be fenced, so only named ones are ever read.

    Raises:
        LeaseLost: Somebody else has taken over the trial.
    """
    with database.write() as connection:
        _fence(connection, claim, checkpoint=place)


@dataclass(frozen=True)
class Ending:
    """How a trial ends.

    Attributes:
        state: COMPLETE, PRUNED or FAIL.
        values: The objectives' values, none of them NaN; at least one for a complete trial, empty for a failed one.
        attributes: User attributes, JSON-able, each at most 65,535 bytes as JSON.
        failure: The class of the failure, or None.
        message: Its traceback or reason.
        weights: Where the best weights lie, or None.
    """

    state: TrialState
    values: tuple[float, ...] = ()
    attributes: Mapping[str, Any] | None = None
    failure: str | None = None
    message: str | None = None
    weights: str | None = None

    def __post_init__(self) -> None:
        """Refuse what a stock Optuna could not read.

        Raises:
            ValueError: The values do not fit the state, or an attribute is too long.
        """
        if not self.state.is_finished():
            raise ValueError(f"a trial ends as COMPLETE, PRUNED or FAIL, not {self.state.name}")
        if any(math.isnan(value) for value in self.values):
            raise ValueError(f"values {self.values} contain NaN, which no sampler can use: end the trial as FAIL")
        if bool(self.values) != (self.state is TrialState.COMPLETE) and self.state is not TrialState.PRUNED:
            raise ValueError(f"a trial that ends as {self.state.name} cannot have values {self.values}")
        for key, value in (self.attributes or {}).items():
            size = len(json.dumps(value))
            if size > LONGEST_ATTRIBUTE:
                raise ValueError(
                    f"attribute {key!r} has {size} bytes as JSON; at most {LONGEST_ATTRIBUTE} are accepted"
                )


@retried
def finish(database: Database, claim: Claim, ending: Ending) -> None:
    """Write a trial's end: attempt, attributes, values and Optuna's state together.

    Raises:
        LeaseLost: Somebody else has taken over the trial, or another Optuna program has ended it.
    """
    with database.write() as connection:
        if _already(connection, claim, AttemptState.FINISHED, ending.failure):
            return
        _fence(
            connection,
            claim,
            state=AttemptState.FINISHED,
            ended_at=utc_now(),
            failure=ending.failure,
            message=_storable(ending.message),
            weights=ending.weights,
        )
        ended = end_trial(connection, claim.trial_id, ending)
        if not ended:
            lost = {"message": _FOREIGN_END, "failure": None, "weights": None}
            connection.execute(update(ATTEMPTS).where(ATTEMPTS.c.token == claim.token).values(lost))
    if not ended:
        raise _ended_by_another(claim)


def end_trial(connection: Connection, trial_id: int, ending: Ending) -> bool:
    """Write a running trial's end to Optuna's tables; False, and nothing, if another program has ended it already."""
    trials, values = _optuna.TRIALS, _optuna.TRIAL_VALUES
    running = (trials.c.trial_id == trial_id) & (trials.c.state == TrialState.RUNNING)
    ended = update(trials).where(running).values(state=ending.state, datetime_complete=utc_now())
    if not connection.execute(ended).rowcount:
        return False
    _set_attributes(connection, trial_id, ending.attributes or {})
    for objective, value in enumerate(ending.values):
        stored, kind = _optuna.stored_value(float(value))
        row = {"objective": objective, "value": stored, "value_type": kind}
        connection.execute(insert(values).values(trial_id=trial_id, **row))
    return True


def _set_attributes(connection: Connection, trial_id: int, attributes: Mapping[str, Any]) -> None:
    table = _optuna.TRIAL_USER_ATTRIBUTES
    mine = table.c.trial_id == trial_id
    known = set(connection.scalars(select(table.c.key).where(mine)))
    encoded = {key: json.dumps(value) for key, value in attributes.items()}
    new = [{"trial_id": trial_id, "key": k, "value_json": text} for k, text in encoded.items() if k not in known]
    if new:
        connection.execute(insert(table), new)
    for key in known & set(encoded):
        connection.execute(update(table).where(mine, table.c.key == key).values(value_json=encoded[key]))


def _storable(message: str | None) -> str | None:
    """A message as every database takes it: no NUL (PostgreSQL), no lone surrogate (UTF-8), not endless."""
    if message is None:
        return None
    return message[-LONGEST_MESSAGE:].replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


@retried
def hand_back(database: Database, claim: Claim, place: str | None = None) -> None:
    """Give the trial up unfinished, for anyone to take up again; costs no retry.

    Args:
        place: Its checkpoint, which the next attempt goes on from; None leaves the one named before.

    Raises:
        LeaseLost: Somebody else has taken over the trial.
    """
    with database.write() as connection:
        if not _already(connection, claim, AttemptState.INTERRUPTED, "interrupted"):
            named = {} if place is None else {"checkpoint": place}
            ended = {"state": AttemptState.INTERRUPTED, "ended_at": utc_now(), "failure": "interrupted"}
            _fence(connection, claim, **ended, **named)


@retried
def try_again(database: Database, claim: Claim, failure: str, message: str | None, limit: int) -> bool:
    """Let a failed trial be taken up again, from its first epoch, unless it has failed so too often; whether it is.

    Args:
        failure: The class of the failure.
        message: Its traceback or reason.
        limit: How often a trial may be tried again after such a failure.

    Raises:
        LeaseLost: Somebody else has taken over the trial.
    """
    with database.write() as connection:
        if _already(connection, claim, AttemptState.INTERRUPTED, failure):
            return True
        before = (ATTEMPTS.c.trial_id == claim.trial_id) & (ATTEMPTS.c.failure == failure)
        times = connection.scalar(select(func.count()).select_from(ATTEMPTS).where(before)) or 0
        if times >= limit:
            return False
        ended = {"state": AttemptState.INTERRUPTED, "ended_at": utc_now(), "failure": failure}
        _fence(connection, claim, message=_storable(message), **ended)
    return True


def _already(connection: Connection, claim: Claim, state: AttemptState, failure: str | None) -> bool:
    """Whether an earlier try, whose COMMIT was not answered, has written just this end of the attempt."""
    row = connection.execute(
        select(ATTEMPTS.c.state, ATTEMPTS.c.failure, ATTEMPTS.c.message).where(ATTEMPTS.c.token == claim.token)
    ).one_or_none()
    return row is not None and (row.state, row.failure) == (state, failure) and row.message != _FOREIGN_END


def held_seconds(attempt: Any) -> float:
    """Seconds for which an attempt has held its device; one that nobody renews, no longer than its lease.

    Args:
        attempt: A row with ``started_at``, ``ended_at``, ``expires_at`` and the present as ``now``.
    """
    end = attempt.ended_at or min(attempt.now, attempt.expires_at)
    held: timedelta = end - attempt.started_at
    return held.total_seconds()


def _fence(connection: Connection, claim: Claim, **values: Any) -> None:
    mine = (ATTEMPTS.c.token == claim.token) & (ATTEMPTS.c.state == AttemptState.RUNNING)
    if connection.execute(update(ATTEMPTS).where(mine).values(**values)).rowcount != 1:
        raise LeaseLost(f"trial {claim.number}, attempt {claim.attempt}: another agent has taken it over")
