"""Summaries of studies that never ran."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from optuna.trial import TrialState

from storage.agents import WorkerRow
from storage.history import TrialRow
from storage.tables import AttemptState
from study._objectives import Objective
from study.leaders import leaders
from study.summary import Running, Summary

BEGAN = datetime(2026, 1, 1, 12)
ENDED = {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}


def trial(number: int, state: TrialState = TrialState.COMPLETE, value: float | None = None, **fields: Any) -> TrialRow:
    """A trial that began and ended `number` minutes after the study did, unless fields say otherwise."""
    ended = state in ENDED
    known: dict[str, Any] = {
        "trial_id": number + 1,
        "number": number,
        "state": state,
        "value": value,
        "parameters": {},
        "attributes": {},
        "values": {} if value is None else {1: value},
        "ours": True,
        "attempts": 1,
        "attempt_state": AttemptState.FINISHED if ended else AttemptState.RUNNING,
        "failure": None,
        "message": None,
        "agent_id": "agent",
        "slot": number,
        "seconds": 60.0,
        "weights": None,
        "started_at": BEGAN + timedelta(minutes=number),
        "ended_at": BEGAN + timedelta(minutes=number + 1) if ended else None,
        "token": f"token{number}",
    }
    return TrialRow(**{**known, **fields})


def worker(slot: int, *, host: str = "node1", idle_s: float = 2.0, **fields: Any) -> WorkerRow:
    """A worker of the agent that has all trials."""
    return WorkerRow("agent", slot, host, 1000 + slot, "cuda:0", idle_s, **{"memory_mb": 512.0, **fields})


def summary(trials: list[TrialRow], workers: list[WorkerRow] | None = None, **fields: Any) -> Summary:
    """A study with these trials and workers; fields replace what would follow from them."""
    ours = [row for row in trials if row.ours]
    running = [row for row in ours if row.attempt_state is AttemptState.RUNNING]
    known: dict[str, Any] = {
        "name": "q",
        "state": "running",
        "reason": None,
        "metric": "accuracy",
        "direction": "maximize",
        "budget": 40,
        "started": len(ours),
        "counts": dict(Counter(row.state.name for row in ours)),
        "others": len(trials) - len(ours),
        "objectives": [Objective("accuracy", fields.get("direction", "maximize"))],
        "best": next(iter(leaders(ours, fields.get("direction", "maximize"))), None),
        "front": leaders(ours, fields.get("direction", "maximize"))[:1],
        "running": [Running(row.number, row.attempts, 1, row.value, "", row.seconds, 1, 1, 1) for row in running],
        "waiting": 0,
        "paused": 0,
        "failures": dict(Counter(row.failure for row in ours if row.failure)),
        "tested": 0,
        "test": None,
        "device_seconds": sum(row.seconds for row in ours),
        "epochs": 9,
        "rate": 12.5,
        "eta_s": 7200.0,
        "lost": [row for row in workers or [] if row.idle_s > 60 and row.quarantined is None],
        "workers": workers or [],
        "trials": trials,
    }
    return Summary(**{**known, **fields})
