"""Our record of a study: its configuration, what its data are, its budget and its state."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError

from storage import _optuna, _trial_rows
from storage._schema import ensure_tables
from storage.clock import seconds_between, utc_now
from storage.database import Database, retried
from storage.errors import ConfigError, StudyMissing
from storage.tables import ATTEMPTS, CHANGES, STUDIES, StudyState


@dataclass(frozen=True)
class Budget:
    """What ends the search; None means no limit.

    Attributes:
        trials: Trials that may be started.
        device_seconds: Seconds of all devices together after which no trial is started.
        wall_seconds: Seconds since the first claim after which no trial is started.
    """

    trials: int | None
    device_seconds: float | None
    wall_seconds: float | None = None


@dataclass(frozen=True)
class StudyRecord:
    """One row of our study table.

    Attributes:
        config: The resolved configuration, JSON.
        facts: Fingerprint, statistics and target summary of the data, JSON.
        budget: As claims go by it, trials that `add_trials` has added included.
        started: Trials that our claims have started.
        goal_reached: Why no more trials are needed, or None.
        wall_s: Seconds since the first claim; None before it.
        created_at: UTC; a backup keeps it.
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
    wall_s: float | None
    created_at: datetime


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
    trials: Sequence[FrozenTrial] = (),
) -> bool:
    """Create the study in Optuna's tables and ours, in one transaction; whether it was this call that created it.

    Several callers at once are safe: one of them creates it, the others return False. A study that a stock Optuna
    program created is taken over with its trials, which do not count.

    Args:
        directions: ``maximize`` or ``minimize``, one per objective.
        metric_names: One per objective.
        trials: That it has from the beginning, as ``study.add_trial`` takes them; they do not count as started.

    Raises:
        ConfigError: The name cannot be used, or a stock study of that name has other directions.
    """
    if not 0 < len(name) <= _optuna.NAME_LENGTH:
        raise ConfigError(f"study.name has {len(name)} characters; 1 to {_optuna.NAME_LENGTH} are accepted")
    row = {
        "state": StudyState.RUNNING,
        "config": json.dumps(config),
        "facts": json.dumps(facts),
        "trial_budget": budget.trials,
        "device_seconds_budget": budget.device_seconds,
        "wall_seconds_budget": budget.wall_seconds,
        "started": 0,
        "created_at": utc_now(),
    }
    database = Database(url)
    try:
        ensure_tables(database)
        try:
            return _create(database, name, list(directions), list(metric_names), row, trials)
        except IntegrityError:  # another process created it between our look and our insert
            return _create(database, name, list(directions), list(metric_names), row, trials)
    finally:
        database.close()


@retried
def _create(
    database: Database,
    name: str,
    directions: list[str],
    metric_names: list[str],
    row: Mapping[str, Any],
    trials: Sequence[FrozenTrial],
) -> bool:
    with database.write() as connection:
        studies = _optuna.STUDIES
        named = select(studies.c.study_id, studies.c.study_name).where(studies.c.study_name == name).with_for_update()
        known = connection.execute(named).one_or_none()
        if known is None:
            study_id = _optuna.insert_study(connection, name, directions, metric_names)
        elif connection.scalar(select(STUDIES.c.study_id).where(STUDIES.c.study_id == known.study_id)) is not None:
            _check_name(name, known.study_name)
            return False
        else:
            study_id = known.study_id
            _check_name(name, known.study_name)
            _check_directions(name, _optuna.study_directions(connection, study_id), directions)
            _optuna.set_metric_names(connection, study_id, metric_names)
        connection.execute(insert(STUDIES).values(study_id=study_id, **row))
        for trial in trials:
            _trial_rows.create(connection, study_id, trial)
    return True


def _check_name(given: str, known: str) -> None:
    if given != known:
        raise ConfigError(f"study.name {given!r}: to this database that is the same as {known!r}; give another name")


def _check_directions(name: str, known: list[str], given: list[str]) -> None:
    if known != given:
        raise ConfigError(
            f"study.name {name!r}: another Optuna program created a study of that name with directions {known}; "
            f"this one has {given}: give another name"
        )


_JOINED = STUDIES.join(_optuna.STUDIES, STUDIES.c.study_id == _optuna.STUDIES.c.study_id)
_WALL = seconds_between(STUDIES.c.begun_at, utc_now()).label("wall_s")
_RECORDS = select(STUDIES, _WALL, _optuna.STUDIES.c.study_name).select_from(_JOINED)


@retried
def load_study(database: Database, name: str) -> StudyRecord:
    """The study of that name.

    Raises:
        StudyMissing: There is none; the message lists those that exist.
    """
    with database.read() as connection:
        known: list[str] = []
        if connection.dialect.has_table(connection, STUDIES.name):
            # A database may take names for equal that differ in case, so there may be one that is not meant.
            for row in connection.execute(_RECORDS.where(_optuna.STUDIES.c.study_name == name)):
                if row.study_name == name:
                    return _record(row)
            known += connection.scalars(select(_optuna.STUDIES.c.study_name).select_from(_JOINED))
    raise StudyMissing(f"no study {name!r} in {database.name}; it has: {', '.join(known) or 'none'}")


@retried
def find_study(database: Database, name: str) -> StudyRecord | None:
    """The study of that name in a database that has our tables, or None."""
    with database.read() as connection:
        rows = connection.execute(_RECORDS.where(_optuna.STUDIES.c.study_name == name)).all()
    return next((_record(row) for row in rows if row.study_name == name), None)


@retried
def list_studies(database: Database) -> list[StudyRecord]:
    """All studies that Studyhall created, oldest first; a database without our tables has none."""
    with database.read() as connection:
        if not connection.dialect.has_table(connection, STUDIES.name):
            return []
        rows = connection.execute(_RECORDS.order_by(STUDIES.c.study_id)).all()
    return [_record(row) for row in rows]


def _record(row: Any) -> StudyRecord:
    return StudyRecord(
        study_id=row.study_id,
        name=row.study_name,
        state=row.state,
        state_reason=row.state_reason,
        config=json.loads(row.config),
        facts=json.loads(row.facts),
        budget=Budget(row.trial_budget, row.device_seconds_budget, row.wall_seconds_budget),
        started=row.started,
        goal_reached=row.goal_reached,
        wall_s=None if row.wall_s is None else float(row.wall_s),
        created_at=row.created_at,
    )


@retried
def study_of_token(database: Database, token: str) -> StudyRecord | None:
    """The study of an attempt, by its token."""
    mine = select(ATTEMPTS.c.study_id).where(ATTEMPTS.c.token == token)
    with database.read() as connection:
        row = connection.execute(_RECORDS.where(STUDIES.c.study_id == mine.scalar_subquery())).one_or_none()
    return None if row is None else _record(row)


@retried
def change_config(
    database: Database,
    study_id: int,
    config: Mapping[str, Any],
    changes: Sequence[Change],
    budget: Budget,
    *,
    goal_reached: str | None,
    changed_by: str,
) -> None:
    """Store a changed configuration and who changed what; the study runs on if the budget has room again.

    Args:
        goal_reached: Why no more trials are needed by the new configuration, or None.

    Raises:
        StudyMissing: It has been deleted.
    """
    changed = {
        "config": json.dumps(config),
        "trial_budget": None if budget.trials is None else budget.trials + func.coalesce(STUDIES.c.added_trials, 0),
        "device_seconds_budget": budget.device_seconds,
        "wall_seconds_budget": budget.wall_seconds,
        "goal_reached": goal_reached,
    }
    who = {"study_id": study_id, "changed_by": changed_by[:255]}
    with database.write() as connection:
        found = connection.execute(update(STUDIES).where(STUDIES.c.study_id == study_id).values(changed))
        if not found.rowcount:
            raise StudyMissing(f"the study with id {study_id} in {database.name} has been deleted")
        for change in changes:
            what = {"key": change.key, "old": json.dumps(change.old), "new": json.dumps(change.new)}
            connection.execute(insert(CHANGES).values(changed_at=utc_now(), **who, **what))


@retried
def set_state(database: Database, study_id: int, state: StudyState, reason: str | None = None) -> None:
    """Let the study's agents run, pause or stop."""
    changed = update(STUDIES).where(STUDIES.c.study_id == study_id).values(state=state, state_reason=reason)
    with database.write() as connection:
        connection.execute(changed)


@retried
def take_refresh(database: Database, study_id: int, every_s: float) -> bool:
    """Whether the caller shall refresh what the dashboard shows of the study: one caller in `every_s` seconds."""
    due = STUDIES.c.refreshed_at.is_(None) | (STUDIES.c.refreshed_at < utc_now(-every_s))
    taken = update(STUDIES).where(STUDIES.c.study_id == study_id, due).values(refreshed_at=utc_now())
    with database.write(durable=False) as connection:
        return bool(connection.execute(taken).rowcount)


@retried
def set_goal_reached(database: Database, record: StudyRecord, reason: str) -> None:
    """No more trials are needed, and why; nothing where the configuration has changed since the record was read."""
    same = (STUDIES.c.study_id == record.study_id) & (STUDIES.c.config == json.dumps(record.config))
    with database.write() as connection:
        connection.execute(update(STUDIES).where(same).values(goal_reached=reason))
