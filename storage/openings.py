"""Which trials have seen the test events, when, and what they scored: computed once, kept for good."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select

from storage import _optuna
from storage.clock import utc_now
from storage.database import Database, retried
from storage.errors import StudyMissing
from storage.tables import TEST_OPENINGS


@dataclass(frozen=True)
class Opening:
    """One trial's metrics on the test events.

    Attributes:
        opened_at: UTC, by the database's clock.
        opened_by: ``user@host``.
    """

    number: int
    opened_at: datetime
    opened_by: str
    metrics: Mapping[str, float | None]


@retried
def list_openings(database: Database, study_id: int) -> list[Opening]:
    """All openings of the study's test events, oldest first."""
    trials = _optuna.TRIALS
    with database.read() as connection:
        rows = connection.execute(
            select(TEST_OPENINGS, trials.c.number)
            .join(trials, trials.c.trial_id == TEST_OPENINGS.c.trial_id)
            .where(TEST_OPENINGS.c.study_id == study_id)
            .order_by(TEST_OPENINGS.c.opened_at, trials.c.number)
        ).all()
    return [Opening(row.number, row.opened_at, row.opened_by, json.loads(row.metrics)) for row in rows]


@retried
def record_opening(
    database: Database, study_id: int, trial_id: int, metrics: Mapping[str, float | None], *, opened_by: str
) -> None:
    """Keep a trial's test metrics; what is recorded already stays.

    Raises:
        StudyMissing: The trial has been deleted.
    """
    row = {
        "trial_id": trial_id,
        "study_id": study_id,
        "opened_by": opened_by[:255],
        "metrics": json.dumps(metrics),
    }
    trials = _optuna.TRIALS
    with database.write() as connection:
        # Under the trial's lock, so that of two processes which open it at once the later one sees the record.
        locked = select(trials.c.trial_id).where(trials.c.trial_id == trial_id, trials.c.study_id == study_id)
        if connection.scalar(locked.with_for_update()) is None:
            raise StudyMissing(f"the trial with id {trial_id} in {database.name} has been deleted")
        known = select(TEST_OPENINGS.c.trial_id).where(TEST_OPENINGS.c.trial_id == trial_id)
        if connection.scalar(known) is None:
            connection.execute(insert(TEST_OPENINGS).values(opened_at=utc_now(), **row))
