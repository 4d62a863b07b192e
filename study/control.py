"""Control a study from anywhere: every agent sees it at its next renewal."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from storage import enqueued, studies
from storage.agents import user_and_host
from storage.database import Database
from storage.errors import ConfigError
from storage.history import TrialRow, read_trials
from storage.tables import StudyState
from study.asking import asked
from study.plan import build_plan
from study.stored import load_stored
from study.summary import summarise


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


@dataclass(frozen=True)
class Enqueued:
    """Trials that were asked for.

    Attributes:
        numbers: Theirs.
        values: The hyperparameters that were given; the others are sampled.
        outlook: What has to happen until they run, in words.
    """

    numbers: Sequence[int]
    values: Mapping[str, Any]
    outlook: str

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


def enqueue_trials(
    database: Database, name: str, words: Sequence[str], *, times: int = 1, within_budget: bool = False
) -> Enqueued:
    """Ask for a trial with these hyperparameters, which runs before new ones; the budget grows by as many.

    Args:
        words: ``name=value`` each.
        times: How many trials of them; each trains from a seed of its own.
        within_budget: Leave the budget as it is: so many fewer trials are sampled.

    Raises:
        StudyMissing: There is no such study.
        ConfigError: A hyperparameter is unknown, has a value outside the space, or would not count.
    """
    stored = load_stored(database, name)
    values = asked(build_plan(stored.config, stored.folder).space, words)
    who = user_and_host()
    template = create_trial(
        state=TrialState.WAITING, system_attrs={"fixed_params": values}, user_attrs={"enqueued_by": who}
    )
    numbers = enqueued.enqueue(database, stored.study_id, [template] * times, room=not within_budget, changed_by=who)
    return Enqueued(numbers, values, _outlook(database, name))


def _outlook(database: Database, name: str) -> str:
    """What has to happen until an enqueued trial runs."""
    stored = load_stored(database, name)
    summary = summarise(database, stored, notice_lost=False)
    if summary.state == "finished":
        used = summary.reason or f"its {summary.budget} trials have been started"
        return f"the budget is used ({used}); a launch with a larger one runs them"
    if stored.record.state is not StudyState.RUNNING:
        return f"the study is {stored.record.state}; `studyhall resume {name}` or a launch lets it go on"
    if any(worker.idle_s <= stored.config.lease.seconds for worker in summary.workers):
        return "workers take them before they sample new ones"
    return f"no agent is at work; `studyhall launch STUDY.yaml` or `studyhall worker {name}` runs them"
