"""A study as the page's JSON."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from storage.agents import WorkerRow
from storage.history import TrialRow
from storage.tables import AttemptState
from study.stored import StoredStudy
from study.summary import Summary

SHOWN_NUMBERS = 50
"""Trials that a class of failures names."""


def header(stored: StoredStudy, summary: Summary, seen_at: datetime | None) -> dict[str, Any]:
    """What a study's line in the list and the head of its page show.

    Args:
        seen_at: When an agent was last seen, UTC, or None.
    """
    best = summary.best
    return {
        "name": stored.name,
        "study_id": stored.study_id,
        "state": summary.state,
        "reason": summary.reason,
        "metric": summary.metric,
        "direction": summary.direction,
        "objectives": [dataclasses.asdict(objective) for objective in summary.objectives],
        "front": [trial.number for trial in summary.front] if len(summary.objectives) > 1 else [],
        "budget": summary.budget,
        "started": summary.started,
        "finished": summary.finished,
        "counts": dict(summary.counts),
        "others": summary.others,
        "waiting": summary.waiting,
        "best": {"number": best.number, "value": best.value} if best else None,
        "test": summary.test,
        "tested": summary.tested,
        "device_seconds": round(summary.device_seconds),
        "epochs": summary.epochs,
        "rate": summary.rate,
        "eta_s": None if summary.eta_s is None else round(summary.eta_s),
        "running": len(summary.running),
        "lost": len(summary.lost),
        "workers": sum(worker.quarantined is None for worker in summary.workers),
        "quarantined": len(summary.quarantined),
        "active_at": _active_at(summary, seen_at),
    }


def brief(row: TrialRow) -> dict[str, Any]:
    """A trial's line in the table; a trial that runs shows its time elsewhere."""
    return {
        "number": row.number,
        "state": row.state.name,
        "ours": row.ours,
        "value": row.value if row.value is not None else row.values.get(max(row.values, default=0)),
        "all_values": list(row.all_values),
        "failure": row.failure,
        "attempts": row.attempts,
        "seconds": round(row.seconds, 1) if row.settled and row.ours else None,
        "epoch": max(row.values, default=0),
        "parameters": dict(row.parameters),
    }


def workers_of(summary: Summary, lease_s: float) -> dict[str, Any]:
    """What runs now, and the workers that have nothing to do."""
    busy = {(row.agent_id, row.slot) for row in summary.trials if row.attempt_state is AttemptState.RUNNING}
    idle = [worker for worker in summary.workers if (worker.agent_id, worker.slot) not in busy]
    running = [
        dataclasses.asdict(one) | {"lost": one.idle_s is None or one.idle_s > lease_s} for one in summary.running
    ]
    return {"running": running, "idle": [_worker(worker, lease_s) for worker in idle]}


def _worker(worker: WorkerRow, lease_s: float) -> dict[str, Any]:
    shown = {key: value for key, value in dataclasses.asdict(worker).items() if key not in ("agent_id", "pid", "slot")}
    return shown | {"worker": f"{worker.host}/{worker.device}#{worker.slot}", "lost": worker.idle_s > lease_s}


def failures(rows: Iterable[TrialRow]) -> list[dict[str, Any]]:
    """Trials that ended by a failure, by its class; the class of the newest one first."""
    by_class: dict[str, list[TrialRow]] = defaultdict(list)
    for row in rows:
        if row.failure and row.state.is_finished():
            by_class[row.failure].append(row)
    found = [_group(failure, sorted(group, key=_ended)) for failure, group in by_class.items()]
    return sorted(found, key=lambda group: group["newest"], reverse=True)


def _group(failure: str, rows: Sequence[TrialRow]) -> dict[str, Any]:
    newest = rows[-1]
    return {
        "failure": failure,
        "state": newest.state.name,
        "count": len(rows),
        "reason": reason(newest),
        "newest": _ended(newest),
        "numbers": [row.number for row in rows[: -SHOWN_NUMBERS - 1 : -1]],
    }


def reason(row: TrialRow) -> str | None:
    """Why a trial failed, in one line."""
    if row.failure is None:
        return None
    given = row.attributes.get("reason")
    return str(given) if given else next(reversed((row.message or "").strip().splitlines()), row.failure)


def seconds_of(at: datetime | None) -> float | None:
    """Naive UTC as seconds since 1970."""
    return None if at is None else at.replace(tzinfo=UTC).timestamp()


def _ended(row: TrialRow) -> float:
    return seconds_of(row.ended_at) or 0.0


def _active_at(summary: Summary, seen_at: datetime | None) -> float | None:
    """When something was last heard of the study, in seconds since 1970."""
    if summary.workers and seen_at is not None:
        return seconds_of(seen_at)
    heard = [row.ended_at or row.started_at for row in summary.trials]
    return seconds_of(max((at for at in (*heard, seen_at) if at is not None), default=None))
