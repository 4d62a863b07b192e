"""Trials that somebody asks for: they wait, and are claimed before new ones."""

import json
from collections.abc import Sequence

from optuna.trial import FrozenTrial
from sqlalchemy import Connection, func, insert, select, update

from storage import _trial_rows
from storage._operations import new_token, once
from storage.clock import utc_now
from storage.database import Database, retried
from storage.errors import StudyMissing
from storage.tables import CHANGES, STUDIES


def enqueue(
    database: Database, study_id: int, templates: Sequence[FrozenTrial], *, room: bool, changed_by: str
) -> list[int]:
    """Add waiting trials, and let the study go on even if its goal had been reached; the trials' numbers.

    Args:
        room: Whether the budget grows by as many trials, where it is one of trials; the change is recorded.

    Raises:
        StudyMissing: The study has been deleted.
    """
    return _enqueue(database, study_id, templates, room, changed_by[:255], new_token())


@retried
def _enqueue(
    database: Database, study_id: int, templates: Sequence[FrozenTrial], room: bool, changed_by: str, token: str
) -> list[int]:
    def work() -> list[int]:
        budget = _open_budget(connection, study_id, database.name)
        if room and budget is not None:
            _grow(connection, study_id, budget, len(templates), changed_by)
        return [_trial_rows.create(connection, study_id, template)[1] for template in templates]

    with database.write() as connection:
        numbers: list[int] = once(connection, token, work)
    return numbers


def _open_budget(connection: Connection, study_id: int, name: str) -> int | None:
    """The budget of trials, under the study's lock, after which no goal counts as reached."""
    mine = STUDIES.c.study_id == study_id
    if connection.scalar(select(STUDIES.c.study_id).where(mine).with_for_update()) is None:
        raise StudyMissing(f"the study with id {study_id} in {name} has been deleted")
    connection.execute(update(STUDIES).where(mine).values(goal_reached=None))
    budget: int | None = connection.scalar(select(STUDIES.c.trial_budget).where(mine))
    return budget


def _grow(connection: Connection, study_id: int, budget: int, more: int, changed_by: str) -> None:
    grown = {"trial_budget": budget + more, "added_trials": func.coalesce(STUDIES.c.added_trials, 0) + more}
    connection.execute(update(STUDIES).where(STUDIES.c.study_id == study_id).values(grown))
    change = {"key": "budget.trials", "old": json.dumps(budget), "new": json.dumps(budget + more)}
    who = {"study_id": study_id, "changed_by": changed_by, "changed_at": utc_now()}
    connection.execute(insert(CHANGES).values(**who, **change))
