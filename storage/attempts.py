"""The life of a trial: claimed with a lease, reported on, finished or handed back.

Each function is one transaction. An attempt is fenced by its random token: a write whose token is no longer
the running one raises `LeaseLost` and changes nothing. Times come from the database's clock.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from optuna.distributions import BaseDistribution
from sqlalchemy import Connection, func, select, true, update

from storage import _reports, _trial_rows
from storage._failpoints import AFTER, BEFORE, fenced, reached
from storage._fence import hold, write_fenced
from storage._twins import has_twin, lock_study
from storage.clock import utc_now
from storage.database import Database, retried
from storage.endings import Ending, end_trial, storable
from storage.epochs import Epoch, add_epochs
from storage.errors import LeaseLost
from storage.tables import AGENTS, ATTEMPTS, STUDIES, AttemptState, StudyState

Read = Callable[[Connection], None]
"""Reads inside a transaction; may be called again when the transaction is tried again."""


@dataclass(frozen=True)
class Claim:
    """A trial that is ours to run until the lease ends.

    Attributes:
        attempt: 1 for a new trial, one more each time it is taken up again.
        token: The fence of this attempt.
        checkpoint: Where the state of an earlier attempt lies, or None to begin at the first epoch.
        reported: The last epoch that an earlier attempt has reported; 0 without one.
        fresh: Whether the claim has made the trial, so that it has no values yet.
    """

    study_id: int
    trial_id: int
    number: int
    attempt: int
    token: str
    checkpoint: str | None = None
    reported: int = 0
    fresh: bool = False


@retried
def renew(
    database: Database, study_id: int, tokens: Sequence[str], lease_s: float, *, away: str | None = None
) -> tuple[StudyState, set[str]]:
    """Renew leases, also expired ones that nobody has noticed yet.

    Args:
        away: The agent's id if it could not do so for a whole lease. Unless another agent could, all were cut off from
            the database, and nobody reaps for another lease.

    Returns:
        The study's state (STOPPED if it was deleted), and those of the tokens that are still ours.
    """
    with database.write(durable=False) as connection:
        if away is not None:
            others = select(AGENTS.c.agent_id).where(AGENTS.c.study_id == study_id, AGENTS.c.agent_id != away)
            alone = ~others.where(AGENTS.c.seen_at > utc_now(-lease_s)).exists()
            quiet = update(STUDIES).where(STUDIES.c.study_id == study_id, alone).values(reap_after=utc_now(lease_s))
            connection.execute(quiet)
        held: set[str] = set()
        if tokens:
            mine = ATTEMPTS.c.token.in_(tokens) & (true() if not fenced() else ATTEMPTS.c.state == AttemptState.RUNNING)
            ordered = select(ATTEMPTS.c.token).where(mine).order_by(ATTEMPTS.c.token).with_for_update()
            held.update(connection.scalars(ordered))
            connection.execute(update(ATTEMPTS).where(mine).values(expires_at=utc_now(lease_s)))
        state = connection.scalar(select(STUDIES.c.state).where(STUDIES.c.study_id == study_id))
    return StudyState(state or StudyState.STOPPED), held


@retried
def sample(
    database: Database,
    claim: Claim,
    parameters: Mapping[str, tuple[float, BaseDistribution]],
    *,
    once: bool = False,
) -> bool:
    """Write a trial's parameters together: internal value and distribution by name; those it has already stay.

    Args:
        once: Write nothing if another trial of the study that has not failed has the same parameters.

    Returns:
        Whether they are written.

    Raises:
        LeaseLost: Somebody else has taken over the trial.
    """
    with database.write(durable=False) as connection:
        if once:
            lock_study(connection, claim.study_id)
        if not hold(connection, claim.token):
            raise _taken_over(claim)
        if once and has_twin(connection, claim.study_id, claim.trial_id, parameters):
            return False
        _trial_rows.add_parameters(connection, claim.trial_id, parameters)
        _at(claim, "sample", BEFORE)
    _at(claim, "sample", AFTER)
    return True


@retried
def report(database: Database, claim: Claim, epoch: int, value: float, read: Read | None = None) -> None:
    """Record one epoch's value, in one statement; an epoch that is recorded already stays as it is.

    The lease is not renewed here: `renew` does that for all of an agent's trials at once.

    Args:
        read: Reads, in a transaction, what the caller needs after it.

    Raises:
        LeaseLost: Somebody else has taken over the trial, or another Optuna program has ended it.
    """
    _at(claim, "epoch", BEFORE)
    with database.statement() as connection:
        new = _reports.insert_value(connection, claim.token, claim.trial_id, epoch, float(value))
    if not new:
        _check_reported(database, claim, epoch, float(value))
    if read is not None:
        with database.read() as connection:
            read(connection)
    _at(claim, "epoch", AFTER)


def _check_reported(database: Database, claim: Claim, epoch: int, value: float) -> None:
    """Why a value was not new: an earlier attempt has reported the epoch, or the attempt may not write any more."""
    with database.write() as connection:
        if not hold(connection, claim.token):
            raise _taken_over(claim)
        running = _reports.runs(connection, claim.trial_id)
        if running:
            _reports.warn_of_other_bits(connection, claim.trial_id, epoch, value)
        else:
            _fence(connection, claim, {"state": AttemptState.FINISHED, "message": _FOREIGN_END}, ends=True)
    if not running:
        raise _ended_by_another(claim)


def _at(claim: Claim, step: str, when: str) -> None:
    reached(step, when, claim.number, claim.attempt)


_FOREIGN_END = "another Optuna program ended the trial"


def _ended_by_another(claim: Claim) -> LeaseLost:
    return LeaseLost(f"trial {claim.number}, attempt {claim.attempt}: {_FOREIGN_END}; what it wrote stays")


@retried
def checkpoint(database: Database, claim: Claim, place: str, epochs: Sequence[Epoch] = ()) -> None:
    """Name the file that the next attempt goes on from; files cannot be fenced, so only named ones are ever read.

    Args:
        epochs: Results of epochs that are not written yet: no later attempt trains them again.

    Raises:
        LeaseLost: Somebody else has taken over the trial.
    """
    with database.write() as connection:
        _fence(connection, claim, {"checkpoint": place})
        add_epochs(connection, claim, epochs)
        _at(claim, "checkpoint", BEFORE)
    _at(claim, "checkpoint", AFTER)


@retried
def finish(database: Database, claim: Claim, ending: Ending, epochs: Sequence[Epoch] = ()) -> None:
    """Write a trial's end: attempt, attributes, values and Optuna's state together.

    Args:
        epochs: Results of epochs that `storage.epochs.record_epochs` has not written yet.

    Raises:
        LeaseLost: Somebody else has taken over the trial, or another Optuna program has ended it.
    """
    with database.write() as connection:
        what = {"failure": ending.failure, "message": storable(ending.message), "weights": ending.weights}
        if not write_fenced(connection, claim.token, {"state": AttemptState.FINISHED} | what, ends=True):
            if _already(connection, claim, AttemptState.FINISHED, ending.failure):
                return
            raise _taken_over(claim)
        add_epochs(connection, claim, epochs)
        ended = end_trial(connection, claim.trial_id, ending)
        if not ended:
            lost = {"message": _FOREIGN_END, "failure": None, "weights": None}
            connection.execute(update(ATTEMPTS).where(ATTEMPTS.c.token == claim.token).values(lost))
        _at(claim, "finish", BEFORE)
    _at(claim, "finish", AFTER)
    if not ended:
        raise _ended_by_another(claim)


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
            ended = {"state": AttemptState.INTERRUPTED, "failure": "interrupted"}
            _fence(connection, claim, ended | named, ends=True)


@retried
def try_again(database: Database, claim: Claim, failure: str, message: str | None, limit: int) -> bool:
    """Let a failed trial be taken up again, unless it has failed so too often; whether it is.

    It begins at its first epoch, but after its device has failed goes on from its checkpoint.

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
        ended = {"state": AttemptState.INTERRUPTED, "failure": failure, "message": storable(message)}
        _fence(connection, claim, ended, ends=True)
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


def _fence(connection: Connection, claim: Claim, values: Mapping[str, Any], *, ends: bool = False) -> None:
    if not write_fenced(connection, claim.token, values, ends=ends):
        raise _taken_over(claim)


def _taken_over(claim: Claim) -> LeaseLost:
    return LeaseLost(f"trial {claim.number}, attempt {claim.attempt}: another agent has taken it over")
