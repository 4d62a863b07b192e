"""Leases that have run out: whoever notices writes it down, and the trial waits for its next attempt."""

from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, func, select, update

from storage.clock import utc_now
from storage.endings import Ending, end_trial
from storage.tables import ATTEMPTS, AttemptState


def reap_expired(connection: Connection, study_id: int, lost_retries: int) -> None:
    """Mark attempts whose lease has expired as lost; a trial that is lost too often fails."""
    # In the order in which renewals lock.
    rows: list[Any] = list(connection.execute(expired(study_id).order_by(ATTEMPTS.c.token)))
    for token, trial_id in rows:
        # Again with the condition: a late renewal may have come first.
        running = ATTEMPTS.c.state == AttemptState.RUNNING
        late = (ATTEMPTS.c.token == token) & running & (ATTEMPTS.c.expires_at < utc_now())
        lost = {"state": AttemptState.LOST, "ended_at": ATTEMPTS.c.expires_at, "failure": "lost"}
        if connection.execute(update(ATTEMPTS).where(late).values(lost)).rowcount:
            _fail_if_lost_too_often(connection, token, trial_id, lost_retries)


def expired(study_id: int) -> Any:
    """The statement for running attempts whose lease has expired: token and trial's id."""
    running = (ATTEMPTS.c.study_id == study_id) & (ATTEMPTS.c.state == AttemptState.RUNNING)
    return select(ATTEMPTS.c.token, ATTEMPTS.c.trial_id).where(running, ATTEMPTS.c.expires_at < utc_now())


def _fail_if_lost_too_often(connection: Connection, token: str, trial_id: int, lost_retries: int) -> None:
    lost = (ATTEMPTS.c.trial_id == trial_id) & (ATTEMPTS.c.failure == "lost")
    times = connection.scalar(select(func.count()).select_from(ATTEMPTS).where(lost)) or 0
    if times > lost_retries:
        ended = {"state": AttemptState.FINISHED, "message": f"its worker was lost {times} times"}
        connection.execute(update(ATTEMPTS).where(ATTEMPTS.c.token == token).values(ended))
        end_trial(connection, trial_id, Ending(TrialState.FAIL, attributes={"failure": "lost"}))
