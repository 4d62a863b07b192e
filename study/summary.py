"""How a study stands: counts, the best trial, what runs, what failed."""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import TrialState

from storage.agents import WorkerRow, list_workers
from storage.claims import reap
from storage.database import Database
from storage.history import History, TrialRow, read_trials
from storage.openings import list_openings
from storage.studies import StudyRecord
from storage.tables import AttemptState
from study._improvement import Improvement, improvement
from study._objectives import Objective
from study._pace import Pace, pace_of
from study.confirmation.link import confirmed_study
from study.confirmation.report import read_confirmation
from study.confirmation.words import one_line
from study.goals import hours
from study.leaders import front_of, leaders
from study.stored import StoredStudy
from study.warm_start import in_words, is_history


@dataclass(frozen=True)
class Running:
    """A trial that a worker has in hand.

    Attributes:
        epoch: The last one reported; 0 before any.
        value: The metric after it.
        worker: Host, device and slot; ``gone`` when its agent has vanished.
        seconds: Since this trial's first attempt began, those between attempts left out.
        idle_s: Seconds since the worker's agent was last seen; None when it is gone.
        memory_mb: As `WorkerRow`.
        utilisation, gpu_utilisation, gpu_used_mb, gpu_total_mb, gpu_power_w: As `WorkerRow`.
    """

    number: int
    attempt: int
    epoch: int
    value: float | None
    worker: str
    seconds: float
    idle_s: float | None
    memory_mb: float | None
    utilisation: float | None
    gpu_utilisation: float | None = None
    gpu_used_mb: float | None = None
    gpu_total_mb: float | None = None
    gpu_power_w: float | None = None


@dataclass(frozen=True)
class Summary:
    """A study at one moment.

    Attributes:
        budget: Trials that may be started, or None.
        counts: Trials that our claims started, by state.
        others: Trials that other Optuna programs put into the study, and those that ended in an older one; they do not
            count.
        history: Those that ended in an older study.
        best: The best complete trial, or None; of several objectives the best of the front by the first.
        objectives: All that is optimised; `metric` and `direction` are those of the first.
        front: Complete trials that no other dominates, best first by the first objective.
        waiting: Trials handed back or lost that the next worker takes up.
        paused: Trials that wait at a rung to be promoted or given up.
        failures: Failed trials by class.
        tested: Trials that have seen the test events.
        test: The metric of the best trial on the test events, or None while they are not opened for it.
        device_seconds: That all attempts took together.
        epochs: That a trial has at most.
        rate: Trials ended per hour, over the last ones; None before two have ended or when none runs.
        eta_s: Seconds to the end of the budget at that rate, or None.
        lost: Workers whose agent has said nothing for a whole lease, unless the study is finished.
        confirmation: What training the leaders again has found, or how far it is; of a confirmation, what it confirms.
        origin: What it took from an older study when it was created, or None.
    """

    name: str
    state: str
    reason: str | None
    metric: str
    direction: str
    objectives: Sequence[Objective]
    budget: int | None
    started: int
    counts: Mapping[str, int]
    others: int
    best: TrialRow | None
    front: Sequence[TrialRow]
    running: Sequence[Running]
    waiting: int
    paused: int
    failures: Mapping[str, int]
    tested: int
    test: float | None
    device_seconds: float
    epochs: int
    rate: float | None
    eta_s: float | None
    lost: Sequence[WorkerRow]
    workers: Sequence[WorkerRow]
    trials: Sequence[TrialRow]
    confirmation: str | None = None
    origin: str | None = None
    history: int = 0

    @property
    def finished(self) -> int:
        """Trials of ours that have their end."""
        return sum(self.counts.get(state, 0) for state in ("COMPLETE", "PRUNED", "FAIL"))

    @property
    def quarantined(self) -> dict[str, str]:
        """Why devices are out of service, by host and device."""
        return {f"{w.host}/{w.device}": w.quarantined for w in self.workers if w.quarantined is not None}

    @property
    def improvement(self) -> Improvement:
        """What its last trials have gained."""
        return improvement(self.trials, self.direction)

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.state == "finished"

    def to_json(self) -> dict[str, Any]:
        """As JSON types, without the table of trials."""
        tree = dataclasses.asdict(dataclasses.replace(self, trials=(), best=None, front=()))
        tree["front"] = [trial.number for trial in self.front]
        tree["best"] = trial_json(self.best) if self.best else None
        tree["improvement"] = dataclasses.asdict(self.improvement)
        del tree["trials"]
        return tree


def trial_json(trial: TrialRow) -> dict[str, Any]:
    """A trial as JSON types."""
    return {
        "number": trial.number,
        "state": trial.state.name,
        "value": trial.value,
        "all_values": list(trial.all_values),
        "failure": trial.failure,
        "attempts": trial.attempts,
        "seconds": round(trial.seconds, 3),
        "parameters": dict(trial.parameters),
        "attributes": dict(trial.attributes),
        "values": {str(epoch): value for epoch, value in trial.values.items()},
    }


def summarise(
    database: Database, stored: StoredStudy, *, notice_lost: bool = True, history: History | None = None
) -> Summary:
    """Look at the study once; expired leases are noticed on the way.

    Args:
        notice_lost: Whether to write what has expired; False only reads.
        history: Of this study, for a caller that looks again and again: only what has changed is read.
    """
    if notice_lost:
        reap(database, stored.study_id, stored.config.retry.lost)
    trials = history.read() if history else read_trials(database, stored.study_id)
    ours = [trial for trial in trials if trial.ours]
    workers = list_workers(database, stored.study_id)
    waiting = [t for t in ours if t.attempt_state in (AttemptState.INTERRUPTED, AttemptState.LOST)]
    paused = [t for t in ours if t.attempt_state is AttemptState.PAUSED and t.state is TrialState.RUNNING]
    running = [t for t in ours if t.attempt_state is AttemptState.RUNNING]
    device_seconds = sum(trial.seconds for trial in ours)
    used = _used_up(stored.record, device_seconds)
    state = _state(stored, running, [*paused, *(t for t in waiting if t.state is TrialState.RUNNING)], used)
    ranking = leaders(ours, *stored.directions)
    tested = {opening.number: opening for opening in list_openings(database, stored.study_id)}
    opened = tested.get(ranking[0].number) if ranking else None
    pace = _pace(stored.record, ours) if running else Pace(None, None)
    return Summary(
        name=stored.name,
        state=state,
        reason=stored.record.state_reason or stored.record.goal_reached or used or None,
        metric=stored.metric,
        direction=stored.direction,
        objectives=stored.objectives,
        budget=stored.record.budget.trials,
        started=stored.record.started,
        counts=dict(Counter(trial.state.name for trial in ours)),
        others=len(trials) - len(ours),
        best=ranking[0] if ranking else None,
        front=ranking[: len(front_of(ranking, *stored.directions))],
        running=[_running(trial, workers) for trial in running],
        waiting=sum(trial.state is TrialState.RUNNING for trial in waiting),
        paused=len(paused),
        failures=dict(Counter(trial.failure for trial in ours if trial.failure and trial.state.is_finished())),
        tested=len(tested),
        test=opened.metrics.get(stored.metric) if opened else None,
        device_seconds=device_seconds,
        epochs=stored.config.training.epochs,
        rate=pace.rate,
        eta_s=pace.eta_s,
        lost=[] if state == "finished" else [w for w in workers if _is_lost(w, stored.config.lease.seconds)],
        workers=workers,
        trials=trials,
        confirmation=_confirmation(database, stored),
        origin=in_words(stored.record.facts),
        history=sum(map(is_history, trials)),
    )


def _confirmation(database: Database, stored: StoredStudy) -> str | None:
    confirmed = confirmed_study(stored.record.facts)
    if confirmed is not None:
        return f"confirms the leaders of study {confirmed}"
    found = read_confirmation(database, stored)
    return None if found is None else one_line(found)


def _used_up(record: StudyRecord, device_seconds: float) -> str | None:
    """Which part of the budget lets no more trials start: empty for that of trials, which speaks for itself."""
    budget = record.budget
    if budget.wall_seconds is not None and record.wall_s is not None and record.wall_s >= budget.wall_seconds:
        return f"budget.wall_time {hours(budget.wall_seconds)} is over"
    if budget.device_seconds is not None and device_seconds >= budget.device_seconds:
        return f"budget.gpu_hours {budget.device_seconds / 3600:g} is used"
    return "" if budget.trials is not None and record.started >= budget.trials else None


def _state(stored: StoredStudy, running: Sequence[TrialRow], waiting: Sequence[TrialRow], used: str | None) -> str:
    ends = used is not None or stored.record.goal_reached is not None
    return "finished" if ends and not running and not waiting else str(stored.record.state)


def _pace(record: StudyRecord, ours: Sequence[TrialRow]) -> Pace:
    """How fast it goes; it ends with its budget of trials or with its time, whichever is first."""
    pace, limit = pace_of(ours, record.budget.trials), record.budget.wall_seconds
    if limit is None or record.wall_s is None:
        return pace
    left = max(0.0, limit - record.wall_s)
    return Pace(pace.rate, left if pace.eta_s is None else min(left, pace.eta_s))


def _is_lost(worker: WorkerRow, lease_s: float) -> bool:
    return worker.quarantined is None and worker.idle_s > lease_s


def _running(trial: TrialRow, workers: Sequence[WorkerRow]) -> Running:
    epoch = max(trial.values, default=0)
    mine = next((w for w in workers if (w.agent_id, w.slot) == (trial.agent_id, trial.slot)), None)
    where = f"{mine.host}/{mine.device}#{mine.slot}" if mine else "gone"
    return Running(
        number=trial.number,
        attempt=trial.attempts,
        epoch=epoch,
        value=trial.values.get(epoch),
        worker=where,
        seconds=trial.seconds,
        idle_s=mine.idle_s if mine else None,
        memory_mb=mine.memory_mb if mine else None,
        utilisation=mine.utilisation if mine else None,
        gpu_utilisation=mine.gpu_utilisation if mine else None,
        gpu_used_mb=mine.gpu_used_mb if mine else None,
        gpu_total_mb=mine.gpu_total_mb if mine else None,
        gpu_power_w=mine.gpu_power_w if mine else None,
    )


def ranked(summary: Summary) -> list[TrialRow]:
    """All trials, complete ones first, the front before the others; then by the best value seen, then by number.

    Those that ended in an older study come last.
    """
    sign = -1 if summary.direction == "maximize" else 1
    chosen = {trial.number for trial in summary.front}

    def key(trial: TrialRow) -> tuple[bool, bool, bool, bool, float, int]:
        value = trial.value if trial.value is not None else math.nan
        unknown, behind = math.isnan(value), trial.number not in chosen
        place = 0.0 if unknown else sign * value
        return is_history(trial), trial.state is not TrialState.COMPLETE, behind, unknown, place, trial.number

    return sorted(summary.trials, key=key)
