"""Our record of a study: its configuration, what its data are, its budget and its state."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from storage import _optuna
from storage.clock import utc_now
from storage.database import Database
from storage.errors import StudyMissing
from storage.tables import CHANGES, STUDIES, StudyState
from storage.trials import open_storage, quiet_optuna


@dataclass(frozen=True)
class Budget:
    """What ends the search; None means no limit.

    Attributes:
        trials: Trials that may be started.
        device_seconds: Seconds of all devices together after which no trial is started.
    """

    trials: int | None
    device_seconds: float | None


@dataclass(frozen=True)
class StudyRecord:
    """One row of our study table.

    Attributes:
        config: The resolved configuration, JSON.
        facts: Fingerprint, statistics and target summary of the data, JSON.
        started: Trials that our claims have started.
        goal_reached: Why no more trials are needed, or None.
    """

    study_id: int
    name: str
    state: StudyState
    state_reason: str | None
    config: Mapping[str, Any]
    facts: Mapping[str, Any]
    budget: Budget
    started: int
    goal_reached: str | None


@dataclass(frozen=True)
class Change:
    """One changed key of a study's configuration."""

    key: str
    old: Any
    new: Any


def create_study(
    url: str,
    name: str,
    *,
    directions: Sequence[str],
    metric_names: Sequence[str],
    config: Mapping[str, Any],
    facts: Mapping[str, Any],
    budget: Budget,
) -> bool:
    """Create the study in Optuna's tables and ours; whether it was this call that created it.

    Several callers at once are safe: one of them creates it, the others return False.

    Raises:
        ValueError: Optuna has a study of that name which is not ours.
    """
    quiet_optuna()
    study = optuna.create_study(
        study_name=name, storage=open_storage(url), directions=list(directions), load_if_exists=True
    )
    row = {
        "study_id": study._study_id,
        "state": StudyState.RUNNING,
        "config": json.dumps(config),
        "facts": json.dumps(facts),
        "trial_budget": budget.trials,
        "device_seconds_budget": budget.device_seconds,
        "started": 0,
        "created_at": utc_now(),
    }
    database = Database(url)
    try:
        with database.write() as connection:
            if connection.scalar(select(STUDIES.c.study_id).where(STUDIES.c.study_id == study._study_id)) is not None:
                return False
            connection.execute(insert(STUDIES).values(row))
    except IntegrityError:
        return False
    finally:
        database.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(list(metric_names))
    return True


_COLUMNS = (STUDIES, _optuna.STUDIES.c.study_name)


def load_study(database: Database, name: str) -> StudyRecord:
    """The study of that name.

    Raises:
        StudyMissing: There is none; the message lists those that exist.
    """
    known = list_studies(database)
    for record in known:
        if record.name == name:
            return record
    names = ", ".join(record.name for record in known) or "none"
    raise StudyMissing(f"no study {name!r} in {database.name}; it has: {names}")


def list_studies(database: Database) -> list[StudyRecord]:
    """All studies that Studyhall created, oldest first; a database without our tables has none."""
    with database.read() as connection:
        if not connection.dialect.has_table(connection, STUDIES.name):
            return []
        joined = STUDIES.join(_optuna.STUDIES, STUDIES.c.study_id == _optuna.STUDIES.c.study_id)
        rows = connection.execute(select(*_COLUMNS).select_from(joined).order_by(STUDIES.c.study_id)).all()
    return [_record(row) for row in rows]


def _record(row: Any) -> StudyRecord:
    return StudyRecord(
        study_id=row.study_id,
        name=row.study_name,
        state=row.state,
        state_reason=row.state_reason,
        config=json.loads(row.config),
        facts=json.loads(row.facts),
        budget=Budget(row.trial_budget, row.device_seconds_budget),
        started=row.started,
        goal_reached=row.goal_reached,
    )


def change_config(
    database: Database,
    study_id: int,
    config: Mapping[str, Any],
    changes: Sequence[Change],
    budget: Budget,
    *,
    changed_by: str,
) -> None:
    """Store a changed configuration and who changed what; the study runs on if the budget has room again."""
    with database.write() as connection:
        connection.execute(
            update(STUDIES)
            .where(STUDIES.c.study_id == study_id)
            .values(
                config=json.dumps(config),
                trial_budget=budget.trials,
                device_seconds_budget=budget.device_seconds,
                goal_reached=None,
            )
        )
        for change in changes:
            connection.execute(
                insert(CHANGES).values(
                    study_id=study_id,
                    changed_at=utc_now(),
                    changed_by=changed_by,
                    key=change.key,
                    old=json.dumps(change.old),
                    new=json.dumps(change.new),
                )
            )


def set_state(connection: Connection, study_id: int, state: StudyState, reason: str | None = None) -> None:
    """Let the study's agents run, pause or stop."""
    connection.execute(
        update(STUDIES).where(STUDIES.c.study_id == study_id).values(state=state, state_reason=reason)
    )


def set_goal_reached(connection: Connection, study_id: int, reason: str) -> None:
    """No more trials are needed, and why."""
    connection.execute(update(STUDIES).where(STUDIES.c.study_id == study_id).values(goal_reached=reason))
