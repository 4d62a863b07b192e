"""Which studies may have changed: one mark for each, all from one statement."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Select, Subquery, case, func, select

from storage import _optuna
from storage.clock import seconds_between, utc_now
from storage.database import Database, retried
from storage.tables import AGENTS, CHANGES, STUDIES, TEST_OPENINGS, StudyState


@dataclass(frozen=True)
class StudyMark:
    """What differs once a study has changed, but for what its running trials and a worker's silence tell.

    Attributes:
        created_at: UTC; tells it from an earlier study of its id and name.
        overdue: Whether its wall time is over.
        state: None for a study that Studyhall did not create; it has nothing but trials.
        running: Trials in Optuna's state RUNNING; while there are any, what they report is not in the mark.
        waiting: Trials in Optuna's state WAITING.
        change: Of the configuration, the last one's id.
        agents: Those that have not left, the silent ones too.
        seen_at: When one of these was last seen, UTC.
    """

    study_id: int
    name: str
    created_at: datetime | None
    state: StudyState | None
    state_reason: str | None
    goal_reached: str | None
    overdue: bool
    started: int | None
    trial_budget: int | None
    trials: int
    running: int
    waiting: int
    openings: int
    change: int
    agents: int
    seen_at: datetime | None


@retried
def study_marks(database: Database, name: str | None = None) -> list[StudyMark]:
    """The marks of all studies by id; a database without our tables has none.

    Args:
        name: Only the study of this name.
    """
    with database.read() as connection:
        if not connection.dialect.has_table(connection, STUDIES.name):
            return []
        marks = _MARKS if name is None else _MARKS.where(_optuna.STUDIES.c.study_name == name)
        rows = connection.execute(marks).all()
    # A database may take names for equal that differ in case.
    return [_mark(row) for row in rows if name is None or row.study_name == name]


def _mark(row: Any) -> StudyMark:
    return StudyMark(
        study_id=row.study_id,
        name=row.study_name,
        created_at=row.created_at,
        state=row.state,
        state_reason=row.state_reason,
        goal_reached=row.goal_reached,
        overdue=bool(row.overdue),
        started=row.started,
        trial_budget=row.trial_budget,
        trials=row.trials or 0,
        running=row.running or 0,
        waiting=row.waiting or 0,
        openings=row.openings or 0,
        change=row.change or 0,
        agents=row.agents or 0,
        seen_at=row.seen_at,
    )


def _marks() -> Select[Any]:
    studies, trials = _optuna.STUDIES, _count_trials()
    openings = _per_study(TEST_OPENINGS, openings=func.count())
    changes = _per_study(CHANGES, change=func.max(CHANGES.c.change_id))
    alive = select(AGENTS.c.study_id, func.count().label("agents"), func.max(AGENTS.c.seen_at).label("seen_at")).where(
        AGENTS.c.alive
    )
    agents = alive.group_by(AGENTS.c.study_id).subquery()
    joined: Any = studies.outerjoin(STUDIES, STUDIES.c.study_id == studies.c.study_id)
    for part in (trials, openings, changes, agents):
        joined = joined.outerjoin(part, part.c.study_id == studies.c.study_id)
    ours = (
        STUDIES.c[key] for key in ("created_at", "state", "state_reason", "goal_reached", "started", "trial_budget")
    )
    counted = (column for part in (trials, openings, changes, agents) for column in part.c if column.key != "study_id")
    overdue = (seconds_between(STUDIES.c.begun_at, utc_now()) >= STUDIES.c.wall_seconds_budget).label("overdue")
    chosen: Select[Any] = select(studies.c.study_id, studies.c.study_name, overdue, *ours, *counted)
    return chosen.select_from(joined).order_by(studies.c.study_id)


def _count_trials() -> Subquery:
    trials = _optuna.TRIALS
    running, waiting = (
        func.count(case((trials.c.state == state, 1))).label(state.name.lower())
        for state in (TrialState.RUNNING, TrialState.WAITING)
    )
    counted = select(trials.c.study_id, func.count().label("trials"), running, waiting)
    return counted.group_by(trials.c.study_id).subquery()


def _per_study(table: Any, **counts: Any) -> Subquery:
    labelled = (count.label(name) for name, count in counts.items())
    return select(table.c.study_id, *labelled).group_by(table.c.study_id).subquery()


_MARKS = _marks()
