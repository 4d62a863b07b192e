"""Which trial an agent gets next: the only code that starts trials, always under the study row's lock."""

import enum
import uuid
from dataclasses import dataclass
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, func, insert, select, update

from storage import _optuna
from storage.attempts import Claim, Ending, end_trial
from storage.clock import utc_now
from storage.database import Database
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
    with database.write() as connection:
        taken = _next_trial(connection, study_id, lost_retries)
        if isinstance(taken, Refusal):
            return taken
        token = uuid.uuid4().hex
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
    return Claim(study_id, taken.trial_id, taken.number, taken.attempt, token)


def reap(database: Database, study_id: int, lost_retries: int) -> None:
    """Notice expired leases: their trials wait for the next attempt, or fail when they have been lost too often."""
    with database.write() as connection:
        _lock(connection, study_id)
        _reap(connection, study_id, lost_retries)


def device_seconds(connection: Connection, study_id: int) -> float:
    """Seconds that all attempts of the study have held a device, ended and running ones."""
    ended = func.coalesce(ATTEMPTS.c.ended_at, utc_now()).label("ended_at")
    rows = connection.execute(select(ATTEMPTS.c.started_at, ended).where(ATTEMPTS.c.study_id == study_id))
    return sum((row.ended_at - row.started_at).total_seconds() for row in rows)


def _lock(connection: Connection, study_id: int) -> Any:
    return connection.execute(select(STUDIES).where(STUDIES.c.study_id == study_id).with_for_update()).one_or_none()


def _next_trial(connection: Connection, study_id: int, lost_retries: int) -> _Taken | Refusal:
    # The locking read comes first in its transaction: what follows sees everything committed before it.
    study = _lock(connection, study_id)
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
    expired = connection.execute(
        select(ATTEMPTS.c.token, ATTEMPTS.c.trial_id).where(
            ATTEMPTS.c.study_id == study_id,
            ATTEMPTS.c.state == AttemptState.RUNNING,
            ATTEMPTS.c.expires_at < utc_now(),
        )
    ).all()
    for token, trial_id in expired:
        lost = {"state": AttemptState.LOST, "ended_at": utc_now(), "failure": "lost"}
        connection.execute(update(ATTEMPTS).where(ATTEMPTS.c.token == token).values(lost))
        times = connection.scalar(
            select(func.count())
            .select_from(ATTEMPTS)
            .where(ATTEMPTS.c.trial_id == trial_id, ATTEMPTS.c.failure == "lost")
        )
        if times is not None and times > lost_retries:
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
    return None if row is None else _Taken(row.trial_id, row.number, row.attempt + 1)


def _enqueued(connection: Connection, study_id: int) -> _Taken | None:
    trials = _optuna.TRIALS
    row = connection.execute(
        select(trials.c.trial_id, trials.c.number)
        .where(trials.c.study_id == study_id, trials.c.state == TrialState.WAITING)
        .order_by(trials.c.number)
        .limit(1)
        .with_for_update()
    ).one_or_none()
    if row is None:
        return None
    started = {"state": TrialState.RUNNING, "datetime_start": utc_now()}
    connection.execute(update(trials).where(trials.c.trial_id == row.trial_id).values(started))
    return _Taken(row.trial_id, row.number, 1)


def _new(connection: Connection, study_id: int) -> _Taken:
    trials = _optuna.TRIALS
    # Optuna locks its own study row while it numbers trials; another Optuna program may add trials meanwhile.
    studies = _optuna.STUDIES
    connection.execute(select(studies.c.study_id).where(studies.c.study_id == study_id).with_for_update())
    row = {"study_id": study_id, "state": TrialState.RUNNING, "datetime_start": utc_now()}
    trial_id = connection.execute(insert(trials).values(row)).inserted_primary_key[0]  # type: ignore[index]
    before = (trials.c.study_id == study_id) & (trials.c.trial_id < trial_id)
    number = connection.scalar(select(func.count()).select_from(trials).where(before)) or 0
    connection.execute(update(trials).where(trials.c.trial_id == trial_id).values(number=number))
    return _Taken(trial_id, number, 1)
