"""Studies for a simulated fleet: a plan without data, an empty study, and trials as a fleet leaves them."""

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Table, insert, select, update

from storage import _optuna, studies
from storage.claims import _lock
from storage.clock import utc_now
from storage.database import Database
from storage.tables import ATTEMPTS, STUDIES, AttemptState
from study._rungs import rungs_of
from study.config import StudyConfig
from study.plan import Facts, Plan, build_plan
from study.stored import budget_of

NAME = "scale"
BATCH = 1000
"""Trials filled in one transaction."""
DRAWS = 500
"""Different configurations among the filled trials."""
FOLDER = "/nonexistent/studyhall-scale"
"""Where files would lie; nothing is written."""
SHARDS = {"training": 80_000, "validation": 10_000, "test": 10_000}


def make_plan(sampler: str) -> Plan:
    """A study with every default of the study file, but for the sampler and a budget that is never used up."""
    tree = {
        "study": {"name": NAME},
        "budget": {"trials": 10_000_000},
        "data": {"path": "events.h5"},
        "search": {"sampler": sampler},
    }
    return build_plan(StudyConfig.model_validate(tree), Path(FOLDER))


def new_study(url: str, plan: Plan) -> int:
    """Create the study as a launch does, with facts of data that do not exist; its id."""
    facts = Facts({}, (38, 16, 40), "NHWC", {}, {}, SHARDS, {})
    where = {"folder": FOLDER, "files": FOLDER, "metric": plan.metric, "direction": plan.direction}
    studies.create_study(
        url,
        NAME,
        directions=[plan.direction],
        metric_names=[plan.metric],
        config=plan.config.to_json(),
        facts=facts.to_json() | where,
        budget=budget_of(plan.config),
    )
    database = Database(url)
    try:
        return studies.load_study(database, NAME).study_id
    finally:
        database.close()


def accuracy_at(number: int, epoch: int) -> float:
    """A trial's simulated curve: it rises to a height that is the trial's own."""
    chance = random.Random(number * 1000 + epoch)
    height = random.Random(number).random()
    return height * (1 - 0.6 * math.exp(-epoch / 3)) + 0.01 * chance.random()


def attributes_of(value: float, epochs: int, number: int) -> dict[str, Any]:
    """What a worker of a multiclass study says of a trial that has ended."""
    measured = dict.fromkeys(("balanced_accuracy", "log_loss", "roc_auc", "loss", "training_loss"), 0.123456789)
    counted = {"best_epoch": epochs, "epochs": epochs, "parameters": 123_456, "seconds": 24.0}
    return {"accuracy": value, **measured, **counted, "events_per_second": 4321.0, "seed": str(number)}


def fill(database: Database, study_id: int, plan: Plan, count: int, *, running: bool = False) -> None:
    """Add trials as a fleet leaves them: of each rung's trials a third goes on.

    Args:
        running: Leave them running, each with one epoch, in the hands of no agent.
    """
    drawn = draws(plan)
    for start in range(0, count, BATCH):
        with database.write() as connection:
            _add(connection, study_id, plan, drawn, min(BATCH, count - start), running)


def draws(plan: Plan) -> list[FrozenTrial]:
    """Random configurations from the study's space."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = []
    for _ in range(DRAWS):
        trial = study.ask()
        plan.space.sample(trial)
        found.append(study._storage.get_trial(trial._trial_id))
    return found


def _add(
    connection: Connection, study_id: int, plan: Plan, drawn: Sequence[FrozenTrial], count: int, running: bool
) -> None:
    _lock(connection, study_id)
    trials = _optuna.TRIALS
    newest = select(trials.c.number).where(trials.c.study_id == study_id).order_by(trials.c.number.desc()).limit(1)
    first = (connection.scalar(newest) if connection.scalar(newest) is not None else -1) + 1
    rungs, epochs = rungs_of(plan), plan.config.training.epochs
    lengths = {number: 1 if running else _epochs_of(number, rungs, epochs) for number in range(first, first + count)}
    ends = {number: _state(length, epochs, running) for number, length in lengths.items()}
    _insert_trials(connection, study_id, ends)
    chosen = select(trials.c.number, trials.c.trial_id).where(trials.c.study_id == study_id, trials.c.number >= first)
    ids = {row.number: row.trial_id for row in connection.execute(chosen)}
    _insert_children(connection, ids, lengths, ends, drawn)
    _insert_attempts(connection, study_id, ids, ends)
    started = update(STUDIES).where(STUDIES.c.study_id == study_id).values(started=STUDIES.c.started + count)
    connection.execute(started)


def _epochs_of(number: int, rungs: Sequence[int], epochs: int) -> int:
    """How far halving lets a trial come, each rung's best third going on."""
    for rung in rungs:
        if number % 3:
            return rung
        number //= 3
    return epochs


def _state(length: int, epochs: int, running: bool) -> TrialState:
    if running:
        return TrialState.RUNNING
    return TrialState.COMPLETE if length == epochs else TrialState.PRUNED


def _insert_trials(connection: Connection, study_id: int, ends: dict[int, TrialState]) -> None:
    row = {"study_id": study_id, "datetime_start": utc_now(-60.0)}
    for state in set(ends.values()):
        complete = {"datetime_complete": utc_now()} if state.is_finished() else {}
        rows = [{"number": number} for number, end in ends.items() if end is state]
        connection.execute(insert(_optuna.TRIALS).values(**row, **complete, state=state), rows)


def _insert_children(
    connection: Connection,
    ids: dict[int, int],
    lengths: dict[int, int],
    ends: dict[int, TrialState],
    drawn: Sequence[FrozenTrial],
) -> None:
    rows: dict[Table, list[dict[str, Any]]] = {table: [] for table in _optuna.TRIAL_CHILDREN}
    for number, trial_id in ids.items():
        length, draw = lengths[number], drawn[number % len(drawn)]
        for name, kind in draw.distributions.items():
            value = {"param_value": kind.to_internal_repr(draw.params[name]), "param_name": name}
            rows[_optuna.TRIAL_PARAMS].append(
                {"trial_id": trial_id, "distribution_json": distribution_to_json(kind), **value}
            )
        values = [accuracy_at(number, epoch) for epoch in range(1, length + 1)]
        for epoch, value in enumerate(values, start=1):
            shown = {"step": epoch, "intermediate_value": value, "intermediate_value_type": "FINITE"}
            rows[_optuna.INTERMEDIATE_VALUES].append({"trial_id": trial_id, **shown})
        if ends[number].is_finished():
            best = {"objective": 0, "value": max(values), "value_type": "FINITE"}
            rows[_optuna.TRIAL_VALUES].append({"trial_id": trial_id, **best})
            rows[_optuna.TRIAL_USER_ATTRIBUTES] += [
                {"trial_id": trial_id, "key": key, "value_json": f'"{value}"' if isinstance(value, str) else str(value)}
                for key, value in attributes_of(max(values), length, number).items()
            ]
    for table, some in rows.items():
        if some:
            connection.execute(insert(table), some)


def _insert_attempts(connection: Connection, study_id: int, ids: dict[int, int], ends: dict[int, TrialState]) -> None:
    times = {"started_at": utc_now(-60.0), "expires_at": utc_now(3600.0)}
    fixed = {"study_id": study_id, "attempt": 1, "agent_id": "filled", "slot": 0, **times}
    for finished in (True, False):
        state = AttemptState.FINISHED if finished else AttemptState.RUNNING
        ended = {"ended_at": utc_now()} if finished else {}
        chosen = [trial_id for number, trial_id in ids.items() if ends[number].is_finished() is finished]
        rows = [{"token": f"filled-{trial_id}", "trial_id": trial_id} for trial_id in chosen]
        if rows:
            connection.execute(insert(ATTEMPTS).values(**fixed, **ended, state=state), rows)
