"""Control a study from anywhere: every agent sees it at its next renewal."""

from optuna.trial import FrozenTrial, TrialState, create_trial

from storage import enqueued, studies
from storage.agents import user_and_host
from storage.database import Database
from storage.errors import ConfigError
from storage.history import TrialRow, read_trials
from storage.tables import StudyState
from study.stored import load_stored


def set_study_state(database: Database, name: str, state: StudyState) -> None:
    """Let the study's agents run, pause (running trials go on) or stop (running trials are handed back).

    Raises:
        StudyMissing: There is no such study.
    """
    stored = load_stored(database, name)
    reason = None if state is StudyState.RUNNING else f"{state} by {user_and_host()}"
    studies.set_state(database, stored.study_id, state, reason)


def retry_failed(database: Database, name: str) -> list[int]:
    """Enqueue every failed trial's parameters again, and raise the budget by as many; the failed trials' numbers.

    The failed trials stay as they are, for Optuna's finished trials do not change. One that was enqueued again before
    is left out.

    Raises:
        StudyMissing: There is no such study.
        ConfigError: No trial has failed.
    """
    stored = load_stored(database, name)
    rows = read_trials(database, stored.study_id)
    again = {row.attributes.get("retry_of") for row in rows}
    failed = [row for row in rows if row.ours and row.state is TrialState.FAIL and row.number not in again]
    if not failed:
        raise ConfigError(f"study {name!r} has no failed trial that has not been enqueued again")
    templates = [_again(row) for row in failed]
    enqueued.enqueue(database, stored.study_id, templates, room=True, changed_by=user_and_host())
    return [row.number for row in failed]


def _again(row: TrialRow) -> FrozenTrial:
    """The trial to enqueue, as ``study.enqueue_trial`` makes it."""
    fixed = {"fixed_params": dict(row.parameters)}
    return create_trial(state=TrialState.WAITING, system_attrs=fixed, user_attrs={"retry_of": row.number})
