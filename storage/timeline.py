"""What the workers of a study did when."""

from dataclasses import dataclass
from datetime import datetime

from optuna.trial import TrialState
from sqlalchemy import select

from storage import _optuna
from storage.attempts import held_seconds
from storage.clock import utc_now
from storage.database import Database, retried
from storage.tables import AGENTS, ATTEMPTS, AttemptState


@dataclass(frozen=True)
class Spell:
    """One attempt at a trial.

    Attributes:
        number: The trial's.
        trial_state: As it is now.
        worker: Host and slot.
        started_at: UTC.
        seconds: That it took so far.
    """

    number: int
    attempt: int
    state: AttemptState
    trial_state: TrialState
    worker: str
    started_at: datetime
    seconds: float


@retried
def last_attempts(database: Database, study_id: int, most: int) -> list[Spell]:
    """The attempts that began last, oldest first."""
    trials = _optuna.TRIALS
    chosen = (
        select(ATTEMPTS, trials.c.number, trials.c.state.label("trial_state"), AGENTS.c.host, utc_now().label("now"))
        .join(trials, trials.c.trial_id == ATTEMPTS.c.trial_id)
        .outerjoin(AGENTS, AGENTS.c.agent_id == ATTEMPTS.c.agent_id)
        .where(ATTEMPTS.c.study_id == study_id)
        .order_by(ATTEMPTS.c.started_at.desc())
        .limit(most)
    )
    with database.read() as connection:
        rows = connection.execute(chosen).all()
    return [
        Spell(
            number=row.number,
            attempt=row.attempt,
            state=row.state,
            trial_state=row.trial_state,
            worker=f"{row.host or 'forgotten host'} #{row.slot}",
            started_at=row.started_at,
            seconds=held_seconds(row),
        )
        for row in reversed(rows)
    ]
