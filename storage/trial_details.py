"""One trial more closely than its row in the study's history tells: each attempt, and the artifacts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from storage import _optuna
from storage.attempts import held_seconds
from storage.clock import utc_now
from storage.database import Database, retried
from storage.endings import Artifact
from storage.tables import AGENTS, ATTEMPTS, AttemptState


@dataclass(frozen=True)
class AttemptRow:
    """One attempt at a trial.

    Attributes:
        attempt: From 1.
        host: Of its agent; None where that is not known any more.
        failure: The class of the failure that ended it, or None.
        message: Its traceback or reason, or None.
        started_at: UTC.
        ended_at: UTC, or None while it runs.
        seconds: For which it has held its device.
    """

    attempt: int
    state: AttemptState
    host: str | None
    slot: int
    failure: str | None
    message: str | None
    started_at: datetime
    ended_at: datetime | None
    seconds: float


@retried
def find_trials(database: Database, study_id: int, numbers: Sequence[int]) -> dict[int, int]:
    """Ids of the study's trials by number; numbers that no trial has are left out."""
    trials = _optuna.TRIALS.c
    chosen = select(trials.number, trials.trial_id).where(trials.study_id == study_id, trials.number.in_(numbers))
    with database.read() as connection:
        return {row.number: row.trial_id for row in connection.execute(chosen)}


@retried
def list_attempts(database: Database, trial_id: int) -> list[AttemptRow]:
    """All attempts at a trial in order; none for a trial of another Optuna program."""
    joined = ATTEMPTS.outerjoin(AGENTS, AGENTS.c.agent_id == ATTEMPTS.c.agent_id)
    chosen = select(ATTEMPTS, AGENTS.c.host, utc_now().label("now")).select_from(joined)
    with database.read() as connection:
        rows = connection.execute(chosen.where(ATTEMPTS.c.trial_id == trial_id).order_by(ATTEMPTS.c.attempt)).all()
    return [
        AttemptRow(
            attempt=row.attempt,
            state=row.state,
            host=row.host,
            slot=row.slot,
            failure=row.failure,
            message=row.message,
            started_at=row.started_at,
            ended_at=row.ended_at,
            seconds=held_seconds(row),
        )
        for row in rows
    ]


@retried
def list_artifacts(database: Database, trial_id: int) -> list[Artifact]:
    """The artifacts of a trial, by id."""
    attributes, prefix = _optuna.TRIAL_SYSTEM_ATTRIBUTES.c, _optuna.artifact_key("")
    chosen = select(attributes.key, attributes.value_json).where(
        attributes.trial_id == trial_id, attributes.key.startswith(prefix, autoescape=True)
    )
    with database.read() as connection:
        rows = connection.execute(chosen.order_by(attributes.key)).all()
    return [_artifact(row.key.removeprefix(prefix), json.loads(row.value_json)) for row in rows]


def _artifact(artifact_id: str, value: object) -> Artifact:
    known = json.loads(value) if isinstance(value, str) else value
    described = known if isinstance(known, dict) else {}
    kind = described.get("mimetype", "application/octet-stream")
    return Artifact(artifact_id, str(described.get("filename", artifact_id)), str(kind))
