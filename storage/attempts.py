"""The life of a trial: claimed with a lease, reported on, finished or handed back.

Each function is one transaction. An attempt is fenced by its random token: a write whose token is no longer
the running one raises `LeaseLost` and changes nothing. Times come from the database's clock.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, insert, select, update

from storage import _optuna
from storage.clock import utc_now
from storage.database import Database
from storage.errors import LeaseLost
from storage.tables import ATTEMPTS, STUDIES, AttemptState, StudyState


@dataclass(frozen=True)
class Claim:
    """A trial that is ours to run until the lease ends.

    Attributes:
        attempt: 1 for a new trial, one more each time it is taken up again.
        token: The fence of this attempt.
    """

    study_id: int
    trial_id: int
    number: int
    attempt: int
    token: str


def renew(database: Database, study_id: int, tokens: Sequence[str], lease_s: float) -> tuple[StudyState, set[str]]:
    """Renew leases; the study's state, and those of the tokens that are still ours."""
    with database.write() as connection:
        mine = ATTEMPTS.c.token.in_(tokens) & (ATTEMPTS.c.state == AttemptState.RUNNING)
        connection.execute(update(ATTEMPTS).where(mine).values(expires_at=utc_now(lease_s)))
        held = set(connection.scalars(select(ATTEMPTS.c.token).where(mine)))
        state = connection.scalar(select(STUDIES.c.state).where(STUDIES.c.study_id == study_id))
    return StudyState(state or StudyState.STOPPED), held


def report(database: Database, claim: Claim, epoch: int, value: float, lease_s: float) -> None:
    """Record one epoch's value and renew the lease; an epoch that is recorded already stays as it is.

    Raises:
        LeaseLost: Somebody else has taken over the trial.
    """
    table = _optuna.INTERMEDIATE_VALUES
    with database.write() as connection:
        _fence(connection, claim, expires_at=utc_now(lease_s), epoch=epoch)
        recorded = select(table.c.step).where(table.c.trial_id == claim.trial_id, table.c.step == epoch)
        if connection.scalar(recorded) is None:
            stored, kind = _optuna.stored_intermediate_value(value)
            connection.execute(
                insert(table).values(
                    trial_id=claim.trial_id, step=epoch, intermediate_value=stored, intermediate_value_type=kind
                )
            )


@dataclass(frozen=True)
class Ending:
    """How a trial ends.

    Attributes:
        values: The objectives' values; empty for a failed trial.
        attributes: User attributes, JSON-able.
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


def finish(database: Database, claim: Claim, ending: Ending) -> None:
    """Write a trial's end: attempt, attributes, values and Optuna's state together.

    Raises:
        LeaseLost: Somebody else has taken over the trial.
    """
    with database.write() as connection:
        _fence(
            connection,
            claim,
            state=AttemptState.FINISHED,
            ended_at=utc_now(),
            failure=ending.failure,
            message=ending.message,
            weights=ending.weights,
        )
        end_trial(connection, claim.trial_id, ending)


def end_trial(connection: Connection, trial_id: int, ending: Ending) -> None:
    """Write a running trial's end to Optuna's tables."""
    for key, value in (ending.attributes or {}).items():
        _set_attribute(connection, trial_id, key, value)
    for objective, value in enumerate(ending.values):
        stored, kind = _optuna.stored_value(value)
        connection.execute(
            insert(_optuna.TRIAL_VALUES).values(
                trial_id=trial_id, objective=objective, value=stored, value_type=kind
            )
        )
    trials = _optuna.TRIALS
    connection.execute(
        update(trials).where(trials.c.trial_id == trial_id).values(state=ending.state, datetime_complete=utc_now())
    )


def _set_attribute(connection: Connection, trial_id: int, key: str, value: Any) -> None:
    table = _optuna.TRIAL_USER_ATTRIBUTES
    same = (table.c.trial_id == trial_id) & (table.c.key == key)
    encoded = json.dumps(value)
    if connection.scalar(select(table.c.key).where(same)) is None:
        connection.execute(insert(table).values(trial_id=trial_id, key=key, value_json=encoded))
    else:
        connection.execute(update(table).where(same).values(value_json=encoded))


def hand_back(database: Database, claim: Claim) -> None:
    """Give the trial up unfinished, for anyone to take up again; costs no retry.

    Raises:
        LeaseLost: Somebody else has taken over the trial.
    """
    with database.write() as connection:
        _fence(connection, claim, state=AttemptState.INTERRUPTED, ended_at=utc_now(), failure="interrupted")


def _fence(connection: Connection, claim: Claim, **values: Any) -> None:
    mine = (ATTEMPTS.c.token == claim.token) & (ATTEMPTS.c.state == AttemptState.RUNNING)
    if connection.execute(update(ATTEMPTS).where(mine).values(**values)).rowcount != 1:
        raise LeaseLost(f"trial {claim.number}, attempt {claim.attempt}: another agent has taken it over")
