"""How a study stands: counts, the best trial, what runs, what failed."""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import TrialState

from objectives._task import Direction
from storage.agents import WorkerRow, list_workers
from storage.claims import reap
from storage.database import Database
from storage.history import TrialRow, read_trials
from storage.openings import list_openings
from storage.tables import AttemptState
from study.stored import StoredStudy


@dataclass(frozen=True)
class Running:
    """A trial that a worker has in hand."""

    number: int
    attempt: int
    epoch: int
    value: float | None
    worker: str
    seconds: float


@dataclass(frozen=True)
class Summary:
    """A study at one moment.

    Attributes:
        budget: Trials that may be started, or None.
        counts: Trials that our claims started, by state.
        others: Trials that other Optuna programs put into the study; they do not count.
        best: The best complete trial, or None.
        waiting: Trials handed back or lost that the next worker takes up.
        failures: Failed trials by class.
        tested: Trials that have seen the test events.
        device_seconds: That all attempts took together.
    """

    name: str
    state: str
    reason: str | None
    metric: str
    direction: str
    budget: int | None
    started: int
    counts: Mapping[str, int]
    others: int
    best: TrialRow | None
    running: Sequence[Running]
    waiting: int
    failures: Mapping[str, int]
    tested: int
    device_seconds: float
    workers: Sequence[WorkerRow]
    trials: Sequence[TrialRow]

    @property
    def finished(self) -> int:
        """Trials of ours that have their end."""
        return sum(self.counts.get(state, 0) for state in ("COMPLETE", "PRUNED", "FAIL"))

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.state == "finished"

    def to_json(self) -> dict[str, Any]:
        """As JSON types, without the table of trials."""
        tree = dataclasses.asdict(dataclasses.replace(self, trials=(), best=None))
        tree["best"] = trial_json(self.best) if self.best else None
        del tree["trials"]
        return tree


def trial_json(trial: TrialRow) -> dict[str, Any]:
    """A trial as JSON types."""
    return {
        "number": trial.number,
        "state": trial.state.name,
        "value": trial.value,
        "failure": trial.failure,
        "attempts": trial.attempts,
        "seconds": round(trial.seconds, 3),
        "parameters": dict(trial.parameters),
        "attributes": dict(trial.attributes),
        "values": {str(epoch): value for epoch, value in trial.values.items()},
    }


def summarise(database: Database, stored: StoredStudy, *, notice_lost: bool = True) -> Summary:
    """Look at the study once; expired leases are noticed on the way.

    Args:
        notice_lost: Whether to write what has expired; False only reads.
    """
    if notice_lost:
        reap(database, stored.study_id, stored.config.retry.lost)
    trials = read_trials(database, stored.study_id)
    ours = [trial for trial in trials if trial.ours]
    workers = list_workers(database, stored.study_id)
    waiting = [t for t in ours if t.attempt_state in (AttemptState.INTERRUPTED, AttemptState.LOST)]
    running = [t for t in ours if t.attempt_state is AttemptState.RUNNING]
    device_seconds = sum(trial.seconds for trial in ours)
    return Summary(
        name=stored.name,
        state=_state(stored, running, [t for t in waiting if t.state is TrialState.RUNNING], device_seconds),
        reason=stored.record.state_reason or stored.record.goal_reached,
        metric=stored.metric,
        direction=stored.direction,
        budget=stored.record.budget.trials,
        started=stored.record.started,
        counts=dict(Counter(trial.state.name for trial in ours)),
        others=len(trials) - len(ours),
        best=next(iter(leaders(ours, stored.direction)), None),
        running=[_running(trial, workers) for trial in running],
        waiting=sum(trial.state is TrialState.RUNNING for trial in waiting),
        failures=dict(Counter(trial.failure for trial in ours if trial.failure and trial.state.is_finished())),
        tested=len(list_openings(database, stored.study_id)),
        device_seconds=device_seconds,
        workers=workers,
        trials=trials,
    )


def leaders(trials: Sequence[TrialRow], direction: Direction) -> list[TrialRow]:
    """Complete trials of ours, best first; of equals the earlier."""
    complete = [t for t in trials if t.ours and t.state is TrialState.COMPLETE and t.value is not None]
    sign = -1 if direction == "maximize" else 1
    return sorted(complete, key=lambda trial: (math.isnan(trial.value or 0), sign * (trial.value or 0), trial.number))


def _state(stored: StoredStudy, running: Sequence[TrialRow], waiting: Sequence[TrialRow], device_seconds: float) -> str:
    record, budget = stored.record, stored.record.budget
    spent = budget.trials is not None and record.started >= budget.trials
    spent_time = budget.device_seconds is not None and device_seconds >= budget.device_seconds
    if (spent or spent_time or record.goal_reached) and not running and not waiting:
        return "finished"
    return str(record.state)


def _running(trial: TrialRow, workers: Sequence[WorkerRow]) -> Running:
    epoch = max(trial.values, default=0)
    mine = next((w for w in workers if (w.agent_id, w.slot) == (trial.agent_id, trial.slot)), None)
    where = f"{mine.host}/{mine.device}#{mine.slot}" if mine else "gone"
    return Running(trial.number, trial.attempts, epoch, trial.values.get(epoch), where, trial.seconds)


def ranked(summary: Summary) -> list[TrialRow]:
    """All trials, complete ones first, best first; then by the best value seen, then by number."""
    sign = -1 if summary.direction == "maximize" else 1

    def key(trial: TrialRow) -> tuple[bool, bool, float, int]:
        value = trial.value if trial.value is not None else math.nan
        unknown = math.isnan(value)
        return trial.state is not TrialState.COMPLETE, unknown, 0.0 if unknown else sign * value, trial.number

    return sorted(summary.trials, key=key)
