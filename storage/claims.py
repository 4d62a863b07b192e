"""Which trial an agent gets next: the only code that starts trials, always under the study row's lock."""

import enum
import uuid
from dataclasses import dataclass
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, func, insert, select, update

from storage import _optuna
from storage.attempts import Claim, Ending, end_trial, held_seconds
from storage.clock import utc_now
from storage.database import Database, retried
from storage.tables import ATTEMPTS, STUDIES, AttemptState, StudyState


class Refusal(enum.StrEnum):
    """Why a claim got no trial."""

    PAUSED = "the study is paused"
    STOPPED = "the study is stopped"
    WAIT = "the budget is claimed; other trials still run"
    DONE = "the budget is used and no trial runs"


@dataclass(frozen=True)
class _Taken:
    trial_id: int
    number: int
    attempt: int
    checkpoint: str | None = None


def claim(
    database: Database, study_id: int, *, agent_id: str, slot: int, lease_s: float, lost_retries: int
) -> Claim | Refusal:
    """Take one trial: a lost or interrupted one first, then an enqueued one, then a new one within the budget.

    One transaction, under a lock on the study's row: one trial is never handed to two callers, nor are more
    trials started than the budget, on any database. Leases that have expired are noticed here.

    Args:
        slot: Index of the worker slot within the agent.
        lease_s: Seconds until the trial is anybody's again, unless renewed.
        lost_retries: Attempts that a trial may lose before it fails.
    """
    # Made before the first try: a try after an unanswered COMMIT finds its own attempt by it.
    return _claim(database, study_id, uuid.uuid4().hex, agent_id, slot, lease_s, lost_retries)


@retried
def _claim(
    database: Database, study_id: int, token: str, agent_id: str, slot: int, lease_s: float, lost_retries: int
) -> Claim | Refusal:
    with database.write() as connection:
        study = _lock(connection, study_id)
        taken = _own(connection, token)
        if taken is not None:
            return Claim(study_id, taken.trial_id, taken.number, taken.attempt, token, taken.checkpoint)
        found = _next_trial(connection, study_id, study, lost_retries)
        if isinstance(found, Refusal):
            return found
        taken = found
        connection.execute(
            insert(ATTEMPTS).values(
                token=token,
                study_id=study_id,
                trial_id=taken.trial_id,
                attempt=taken.attempt,
                agent_id=agent_id,
                slot=slot,
                state=AttemptState.RUNNING,
                started_at=utc_now(),
                expires_at=utc_now(lease_s),
                epoch=0,
            )
        )
    return Claim(study_id, taken.trial_id, taken.number, taken.attempt, token, taken.checkpoint)


@retried
def reap(database: Database, study_id: int, lost_retries: int) -> None:
    """Notice expired leases: their trials wait for the next attempt, or fail when they have been lost too often."""
    with database.write() as connection:
        _lock(connection, study_id)
        _reap(connection, study_id, lost_retries)


def device_seconds(connection: Connection, study_id: int) -> float:
    """Seconds that all attempts of the study have held a device, ended and running ones."""
    columns = (ATTEMPTS.c.started_at, ATTEMPTS.c.ended_at, ATTEMPTS.c.expires_at, utc_now().label("now"))
    return sum(map(held_seconds, connection.execute(select(*columns).where(ATTEMPTS.c.study_id == study_id))))


def _lock(connection: Connection, study_id: int) -> Any:
    # Optuna locks its own study row while it numbers trials, and another Optuna program may add trials meanwhile.
    theirs = _optuna.STUDIES
    both = STUDIES.join(theirs, theirs.c.study_id == STUDIES.c.study_id)
    locked = select(STUDIES).select_from(both).where(STUDIES.c.study_id == study_id).with_for_update()
    return connection.execute(locked).one_or_none()


def _own(connection: Connection, token: str) -> _Taken | None:
    """What an earlier try of this very claim took."""
    trials = _optuna.TRIALS
    row = connection.execute(
        select(trials.c.trial_id, trials.c.number, ATTEMPTS.c.attempt)
        .join(ATTEMPTS, ATTEMPTS.c.trial_id == trials.c.trial_id)
        .where(ATTEMPTS.c.token == token)
    ).one_or_none()
    if row is None:
        return None
    return _Taken(row.trial_id, row.number, row.attempt, _checkpoint(connection, row.trial_id))


def _next_trial(connection: Connection, study_id: int, study: Any, lost_retries: int) -> _Taken | Refusal:
    if study is None or study.state == StudyState.STOPPED:
        return Refusal.STOPPED
    if study.state == StudyState.PAUSED:
        return Refusal.PAUSED
    _reap(connection, study_id, lost_retries)
    unfinished = _unfinished(connection, study_id)
    if unfinished is not None:
        return unfinished
    if study.goal_reached or _spent(connection, study):
        running = _count(connection, study_id, AttemptState.RUNNING)
        return Refusal.WAIT if running else Refusal.DONE
    connection.execute(update(STUDIES).where(STUDIES.c.study_id == study_id).values(started=STUDIES.c.started + 1))
    return _enqueued(connection, study_id) or _new(connection, study_id)


def _spent(connection: Connection, study: Any) -> bool:
    if study.trial_budget is not None and study.started >= study.trial_budget:
        return True
    limit = study.device_seconds_budget
    return limit is not None and device_seconds(connection, study.study_id) >= limit


def _count(connection: Connection, study_id: int, state: AttemptState) -> int:
    matching = (ATTEMPTS.c.study_id == study_id) & (ATTEMPTS.c.state == state)
    return connection.scalar(select(func.count()).select_from(ATTEMPTS).where(matching)) or 0


def _reap(connection: Connection, study_id: int, lost_retries: int) -> None:
    open_ = (ATTEMPTS.c.study_id == study_id) & (ATTEMPTS.c.state == AttemptState.RUNNING)
    expired = connection.execute(
        select(ATTEMPTS.c.token, ATTEMPTS.c.trial_id)
        .where(open_, ATTEMPTS.c.expires_at < utc_now())
        .order_by(ATTEMPTS.c.token)  # the order in which renewals lock
    ).all()
    for token, trial_id in expired:
        # Again with the condition: a late renewal may have come first.
        late = (ATTEMPTS.c.token == token) & open_ & (ATTEMPTS.c.expires_at < utc_now())
        lost = {"state": AttemptState.LOST, "ended_at": ATTEMPTS.c.expires_at, "failure": "lost"}
        if connection.execute(update(ATTEMPTS).where(late).values(lost)).rowcount:
            _fail_if_lost_too_often(connection, token, trial_id, lost_retries)


def _fail_if_lost_too_often(connection: Connection, token: str, trial_id: int, lost_retries: int) -> None:
    lost = (ATTEMPTS.c.trial_id == trial_id) & (ATTEMPTS.c.failure == "lost")
    times = connection.scalar(select(func.count()).select_from(ATTEMPTS).where(lost)) or 0
    if times > lost_retries:
        ended = {"state": AttemptState.FINISHED, "message": f"its worker was lost {times} times"}
        connection.execute(update(ATTEMPTS).where(ATTEMPTS.c.token == token).values(ended))
        end_trial(connection, trial_id, Ending(TrialState.FAIL, attributes={"failure": "lost"}))


def _unfinished(connection: Connection, study_id: int) -> _Taken | None:
    trials = _optuna.TRIALS
    last = (
        select(ATTEMPTS.c.trial_id, func.max(ATTEMPTS.c.attempt).label("attempt"))
        .where(ATTEMPTS.c.study_id == study_id)
        .group_by(ATTEMPTS.c.trial_id)
        .subquery()
    )
    waiting = (AttemptState.INTERRUPTED, AttemptState.LOST)
    row = connection.execute(
        select(trials.c.trial_id, trials.c.number, ATTEMPTS.c.attempt)
        .join(ATTEMPTS, ATTEMPTS.c.trial_id == trials.c.trial_id)
        .join(last, (last.c.trial_id == ATTEMPTS.c.trial_id) & (last.c.attempt == ATTEMPTS.c.attempt))
        .where(ATTEMPTS.c.study_id == study_id, ATTEMPTS.c.state.in_(waiting), trials.c.state == TrialState.RUNNING)
        .order_by(trials.c.number)
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    return _Taken(row.trial_id, row.number, row.attempt + 1, _checkpoint(connection, row.trial_id))


def _checkpoint(connection: Connection, trial_id: int) -> str | None:
    """The newest that an attempt has named; one that failed by itself leaves none, as it would fail there again."""
    rows = connection.execute(
        select(ATTEMPTS.c.checkpoint, ATTEMPTS.c.failure)
        .where(ATTEMPTS.c.trial_id == trial_id)
        .order_by(ATTEMPTS.c.attempt.desc())
    )
    for place, failure in rows:
        if failure not in (None, "interrupted", "lost"):
            return None
        if place is not None:
            return str(place)
    return None


def _enqueued(connection: Connection, study_id: int) -> _Taken | None:
    trials = _optuna.TRIALS
    waiting = (
        select(trials.c.trial_id, trials.c.number)
        .where(trials.c.study_id == study_id, trials.c.state == TrialState.WAITING)
        .order_by(trials.c.number)
        .limit(1)
    )
    while (row := connection.execute(waiting).one_or_none()) is not None:
        still = (trials.c.trial_id == row.trial_id) & (trials.c.state == TrialState.WAITING)
        started = {"state": TrialState.RUNNING, "datetime_start": utc_now()}
        if connection.execute(update(trials).where(still).values(started)).rowcount:
            return _Taken(row.trial_id, row.number, 1)
        # Another Optuna program took it between the two statements: look again.
    return None


def _new(connection: Connection, study_id: int) -> _Taken:
    trials = _optuna.TRIALS
    # As Optuna numbers them; nobody else adds one before we commit.
    number = connection.scalar(select(func.count()).select_from(trials).where(trials.c.study_id == study_id)) or 0
    row = {"study_id": study_id, "number": number, "state": TrialState.RUNNING, "datetime_start": utc_now()}
    trial_id = connection.execute(insert(trials).values(row)).inserted_primary_key[0]  # type: ignore[index]
    return _Taken(trial_id, number, 1)
