"""A study of many finished trials, written with a few bulk inserts."""

import json
import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.trial import TrialState
from sqlalchemy import Connection, Table, insert, update

from storage import _optuna
from storage.trials import open_storage

NAME = "bench"
PARAMETERS, ATTRIBUTES, STEPS = 12, 14, 20
AT_ONCE = 1000
"""Trials in one insert."""
_BEGAN = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=2)


def fill(url: str, trials: int) -> int:
    """Create the study; its id."""
    storage = open_storage(url)
    study = optuna.create_study(study_name=NAME, storage=storage, direction="maximize")
    with storage.database.write() as connection:
        for start in range(0, trials, AT_ONCE):
            _insert(connection, study._study_id, range(start, min(start + AT_ONCE, trials)))
    storage.close()
    return study._study_id


def reopen(url: str, number: int) -> None:
    """Make one trial a running one."""
    storage = open_storage(url)
    table = _optuna.TRIALS
    with storage.database.write() as connection:
        changed = {"state": TrialState.RUNNING, "datetime_complete": None}
        connection.execute(update(table).where(table.c.number == number).values(changed))
    storage.close()


def _insert(connection: Connection, study_id: int, numbers: range) -> None:
    rows: dict[Table, list[dict[str, Any]]] = {}
    for number in numbers:
        for table, row in _rows(study_id, number):
            rows.setdefault(table, []).append(row)
    for table, some in rows.items():
        connection.execute(insert(table), some)


def _rows(study_id: int, number: int) -> Iterator[tuple[Table, dict[str, Any]]]:
    chance = random.Random(number)
    trial_id, began = number + 1, _BEGAN + timedelta(seconds=10 * number)
    times = {"datetime_start": began, "datetime_complete": began + timedelta(seconds=9.5)}
    row = {"trial_id": trial_id, "study_id": study_id, "number": number, "state": TrialState.COMPLETE}
    yield _optuna.TRIALS, row | times
    yield (
        _optuna.TRIAL_VALUES,
        {"trial_id": trial_id, "objective": 0, "value": chance.random(), "value_type": "FINITE"},
    )
    for name, distribution in _DISTRIBUTIONS.items():
        value = 1.0 if "kind" in name else math.exp(chance.uniform(-9, 0))
        text = distribution_to_json(distribution)
        yield (
            _optuna.TRIAL_PARAMS,
            {"trial_id": trial_id, "param_name": name, "param_value": value, "distribution_json": text},
        )
    for place in range(ATTRIBUTES):
        value_json = json.dumps(chance.random() if place < 10 else f"host-{chance.randrange(8)}")
        yield (
            _optuna.TRIAL_USER_ATTRIBUTES,
            {"trial_id": trial_id, "key": f"attribute_{place}", "value_json": value_json},
        )
    for step in range(1, STEPS + 1):
        value = {"intermediate_value": chance.random(), "intermediate_value_type": "FINITE"}
        yield _optuna.INTERMEDIATE_VALUES, {"trial_id": trial_id, "step": step, **value}


_DISTRIBUTIONS: dict[str, optuna.distributions.BaseDistribution] = {
    f"parameter_{place}": optuna.distributions.FloatDistribution(1e-5, 1.0, log=True) for place in range(PARAMETERS - 2)
} | {
    f"kind_{place}": optuna.distributions.CategoricalDistribution(("relu", "gelu", "silu", "tanh"))
    for place in range(2)
}
