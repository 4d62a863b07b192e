"""Which trial an agent gets next: the only code that starts trials, always under the study row's lock."""

import enum
import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, bindparam, exists, func, insert, select, update

from storage import _optuna, _trial_rows
from storage._failpoints import AFTER, BEFORE, reached
from storage._reaping import expired, reap_expired
from storage.attempts import Claim, held_seconds
from storage.clock import awake, seconds_between, utc_now
from storage.database import Database, retried
from storage.pausing import end_paused, promoted
from storage.tables import ATTEMPTS, STUDIES, AttemptState, StudyState


class Refusal(enum.StrEnum):
    """Why a claim got no trial."""

    PAUSED = "the study is paused"
    HALTED = "the study was paused after repeated errors"
    STOPPED = "the study is stopped"
    WAIT = "the budget is claimed; other trials still run"
    DONE = "the budget is used and no trial runs"


@dataclass(frozen=True)
class _Taken:
    trial_id: int
    number: int
    attempt: int
    checkpoint: str | None = None
    reported: int = 0
    fresh: bool = False


@dataclass
class _Claimant:
    """Who claims and on what terms, and whether a transaction has been tried whose COMMIT may have gone unanswered."""

    token: str
    agent_id: str
    slot: int
    lease_s: float
    lost_retries: int
    reap_until: float
    promote: Sequence[int]
    avoid: Sequence[int]
    tried: bool = False


def claim(
    database: Database,
    study_id: int,
    *,
    agent_id: str,
    slot: int,
    lease_s: float,
    lost_retries: int,
    reap_until: float = math.inf,
    promote: Sequence[int] = (),
    avoid: Sequence[int] = (),
) -> Claim | Refusal:
    """Take one trial: a lost or interrupted one first, then a promoted, an enqueued, or a new one within the budget.

    One transaction, under a lock on the study's row: one trial is never handed to two callers, nor are more
    trials started than the budget, on any database. Leases that have expired are noticed here.

    Args:
        slot: Index of the worker slot within the agent.
        lease_s: Seconds until the trial is anybody's again, unless renewed.
        lost_retries: Attempts that a trial may lose before it fails.
        reap_until: `awake` time after which leases are not reaped: whoever has waited for the database so long renews
            first, and lets others do so.
        promote: Ids of paused trials that may go on, best first.
        avoid: Ids of trials that are left to other slots.
    """
    # Made before the first try: a try after an unanswered COMMIT finds its own attempt by it.
    token = uuid.uuid4().hex
    who = _Claimant(token, agent_id, slot, lease_s, lost_retries, reap_until, promote, avoid)
    return _claim(database, study_id, who)


@retried
def _claim(database: Database, study_id: int, who: _Claimant) -> Claim | Refusal:
    with database.write(durable=False) as connection:
        study = _lock(connection, study_id)
        taken = _own(connection, who.token) if who.tried else None
        who.tried = True
        if taken is None:
            found = _next_trial(connection, study_id, study, who)
            if isinstance(found, Refusal):
                return found
            taken = found
            _insert_attempt(connection, study_id, who, taken)
        reached("claim", BEFORE, taken.number, taken.attempt)
    reached("claim", AFTER, taken.number, taken.attempt)
    return Claim(study_id, token=who.token, **vars(taken))


def _insert_attempt(connection: Connection, study_id: int, who: _Claimant, taken: _Taken) -> None:
    what = {"token": who.token, "study_id": study_id, "trial_id": taken.trial_id, "attempt": taken.attempt}
    where = {"agent_id": who.agent_id, "slot": who.slot}
    times = {"started_at": utc_now(), "expires_at": utc_now(who.lease_s)}
    connection.execute(insert(ATTEMPTS).values(**what, **where, **times, state=AttemptState.RUNNING))


@retried
def reap(database: Database, study_id: int, lost_retries: int) -> None:
    """Notice expired leases: their trials wait for the next attempt, or fail when they have been lost too often.

    Whoever looks at a study may call it as often as it likes: where no lease has expired it reads one row.
    """
    with database.read() as connection:
        if connection.scalar(expired(study_id).limit(1)) is None:
            return
    with database.write() as connection:
        study = _lock(connection, study_id)
        if study is not None and not study.quiet:
            reap_expired(connection, study_id, lost_retries)


def device_seconds(connection: Connection, study_id: int) -> float:
    """Seconds that all attempts of the study have held a device, ended and running ones."""
    mine = ATTEMPTS.c.study_id == study_id
    taken = func.sum(seconds_between(ATTEMPTS.c.started_at, ATTEMPTS.c.ended_at))
    ended = connection.scalar(select(taken).where(mine, ATTEMPTS.c.ended_at.is_not(None)))
    columns = (ATTEMPTS.c.started_at, ATTEMPTS.c.ended_at, ATTEMPTS.c.expires_at, utc_now().label("now"))
    running = connection.execute(select(*columns).where(mine, ATTEMPTS.c.ended_at.is_(None)))
    return float(ended or 0.0) + sum(map(held_seconds, running))


def _lock(connection: Connection, study_id: int) -> Any:
    # Optuna locks its own study row while it numbers trials, and another Optuna program may add trials meanwhile.
    theirs = _optuna.STUDIES
    both = STUDIES.join(theirs, theirs.c.study_id == STUDIES.c.study_id)
    quiet = (STUDIES.c.reap_after.is_not(None) & (STUDIES.c.reap_after > utc_now())).label("quiet")
    locked = select(*_OF_STUDY, quiet).select_from(both).where(STUDIES.c.study_id == study_id).with_for_update()
    return connection.execute(locked).one_or_none()


_OF_STUDY = (
    STUDIES.c.study_id,
    STUDIES.c.state,
    STUDIES.c.trial_budget,
    STUDIES.c.device_seconds_budget,
    STUDIES.c.started,
    STUDIES.c.goal_reached,
    (seconds_between(STUDIES.c.begun_at, utc_now()) >= STUDIES.c.wall_seconds_budget).label("overdue"),
)
"""All that a claim asks of the study: its configuration and facts are long."""


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
    return _Taken(row.trial_id, row.number, row.attempt, *_progress(connection, row.trial_id))


def _next_trial(connection: Connection, study_id: int, study: Any, who: _Claimant) -> _Taken | Refusal:
    if study is None:
        return Refusal.STOPPED
    if study.state in _REFUSALS:
        return _REFUSALS[study.state]
    if connection.scalar(_WANTS_CARE, {"study": study_id}) is not None:
        if awake() < who.reap_until and not study.quiet:
            reap_expired(connection, study_id, who.lost_retries)
        unfinished = _unfinished(connection, study_id, who.avoid)
        if unfinished is not None:
            return unfinished
    over = study.goal_reached or _time_spent(connection, study)
    if not over and promoted(connection, who.promote):
        goes_on = _unfinished(connection, study_id, who.avoid)  # no other waits, or it had been taken above
        if goes_on is not None:
            return goes_on
    if over or (study.trial_budget is not None and study.started >= study.trial_budget):
        if _any_runs(connection, study_id) or (who.avoid and _unfinished(connection, study_id)):
            return Refusal.WAIT
        end_paused(connection, study_id)
        return Refusal.DONE
    counted = {"started": STUDIES.c.started + 1, "begun_at": func.coalesce(STUDIES.c.begun_at, utc_now())}
    connection.execute(update(STUDIES).where(STUDIES.c.study_id == study_id).values(counted))
    return _enqueued(connection, study_id) or _new(connection, study_id)


_WANTS_CARE = (
    select(ATTEMPTS.c.token)
    .where(
        ATTEMPTS.c.study_id == bindparam("study"),
        ATTEMPTS.c.state.in_((AttemptState.INTERRUPTED, AttemptState.LOST))
        | ((ATTEMPTS.c.state == AttemptState.RUNNING) & (ATTEMPTS.c.expires_at < utc_now())),
    )
    .limit(1)
)
"""Whether an attempt has expired, or has once ended before its trial."""


def _time_spent(connection: Connection, study: Any) -> bool:
    limit = study.device_seconds_budget
    return bool(study.overdue) or (limit is not None and device_seconds(connection, study.study_id) >= limit)


_REFUSALS = {
    StudyState.STOPPED: Refusal.STOPPED,
    StudyState.PAUSED: Refusal.PAUSED,
    StudyState.HALTED: Refusal.HALTED,
}


def _any_runs(connection: Connection, study_id: int) -> bool:
    open_ = (ATTEMPTS.c.study_id == study_id) & (ATTEMPTS.c.state == AttemptState.RUNNING)
    return connection.scalar(select(ATTEMPTS.c.token).where(open_).limit(1)) is not None


def _unfinished(connection: Connection, study_id: int, avoid: Sequence[int] = ()) -> _Taken | None:
    row = connection.execute(_UNFINISHED, {"study": study_id, "avoid": list(avoid)}).one_or_none()
    if row is None:
        return None
    return _Taken(row.trial_id, row.number, row.attempt + 1, *_progress(connection, row.trial_id))


def _first_unfinished() -> Any:
    trials, later = _optuna.TRIALS, ATTEMPTS.alias("later")
    waiting = (AttemptState.INTERRUPTED, AttemptState.LOST)
    taken_up = exists().where(later.c.trial_id == ATTEMPTS.c.trial_id, later.c.attempt > ATTEMPTS.c.attempt)
    return (
        select(trials.c.trial_id, trials.c.number, ATTEMPTS.c.attempt)
        .join(ATTEMPTS, ATTEMPTS.c.trial_id == trials.c.trial_id)
        .where(ATTEMPTS.c.study_id == bindparam("study"), ATTEMPTS.c.state.in_(waiting))
        .where(trials.c.state == TrialState.RUNNING, ~taken_up)
        .where(trials.c.trial_id.not_in(bindparam("avoid", expanding=True)))
        .order_by(trials.c.number)
        .limit(1)
    )


_UNFINISHED = _first_unfinished()


def _progress(connection: Connection, trial_id: int) -> tuple[str | None, int]:
    """The newest checkpoint that an attempt has named, and the last epoch that one has reported."""
    rows = connection.execute(
        select(ATTEMPTS.c.checkpoint, ATTEMPTS.c.failure)
        .where(ATTEMPTS.c.trial_id == trial_id)
        .order_by(ATTEMPTS.c.attempt.desc())
    ).all()
    values = _optuna.INTERMEDIATE_VALUES.c
    reported = connection.scalar(select(func.max(values.step)).where(values.trial_id == trial_id))
    return _checkpoint(rows), reported or 0


def _checkpoint(attempts: Sequence[Any]) -> str | None:
    """Of attempts, newest first; one that failed by itself leaves none, as it would fail there again."""
    for row in attempts:
        if row.failure not in (None, "interrupted", "lost", "paused", "device"):
            return None
        if row.checkpoint is not None:
            return str(row.checkpoint)
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
    number = _trial_rows.next_number(connection, study_id)
    row = {"study_id": study_id, "number": number, "state": TrialState.RUNNING, "datetime_start": utc_now()}
    trial_id = connection.execute(insert(trials).values(row)).inserted_primary_key[0]  # type: ignore[index]
    return _Taken(trial_id, number, 1, fresh=True)
