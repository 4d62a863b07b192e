"""A study's trials as they stand: one row each, with what our attempts add to Optuna's."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from optuna.distributions import json_to_distribution
from optuna.trial import TrialState
from sqlalchemy import ColumnElement, Connection, Row, select

from storage import _optuna
from storage._rows import MOST_IDS
from storage.attempts import held_seconds
from storage.clock import utc_now
from storage.database import Database, retried
from storage.tables import ATTEMPTS, AttemptState


@dataclass(frozen=True)
class TrialRow:
    """One trial.

    Attributes:
        value: Of the first objective, or None.
        all_values: Of all objectives in their order; empty without any.
        values: Reported value by epoch, in order.
        ours: Whether one of our claims started it; other Optuna programs' trials have no attempts.
        seconds: That its attempts took together so far.
        attempt_state: Of its last attempt, or None.
        weights: Where its best weights lie, or None.
        started_at: UTC, or None for a trial that waits.
        ended_at: UTC, or None for a trial that has not ended.
        token: Of its last attempt, or None; its artifacts are named by it.
    """

    trial_id: int
    number: int
    state: TrialState
    value: float | None
    parameters: Mapping[str, Any]
    attributes: Mapping[str, Any]
    values: Mapping[int, float]
    ours: bool
    attempts: int
    attempt_state: AttemptState | None
    failure: str | None
    message: str | None
    agent_id: str | None
    slot: int | None
    seconds: float
    weights: str | None
    started_at: datetime | None
    ended_at: datetime | None
    token: str | None
    all_values: tuple[float, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether nothing of it changes any more, but for weights that are not kept."""
        return self.state.is_finished() and self.attempt_state is not AttemptState.RUNNING


class History:
    """A study's trials, read again and again: those that have ended are read once. One thread at a time may use it."""

    def __init__(self, database: Database, study_id: int) -> None:
        self._database, self._study_id = database, study_id
        self._rows: dict[int, TrialRow] = {}
        self._open: set[int] = set()

    def read(self) -> list[TrialRow]:
        """All trials by number, as they are now."""
        changed = None
        if self._rows:
            changed = [*self._open, *_newer(self._database, self._study_id, max(self._rows))]
        for row in read_trials(self._database, self._study_id, changed):
            self._rows[row.trial_id] = row
            (self._open.discard if row.settled else self._open.add)(row.trial_id)
        return sorted(self._rows.values(), key=lambda row: row.number)


@retried
def _newer(database: Database, study_id: int, newest: int) -> list[int]:
    trials = _optuna.TRIALS.c
    with database.read() as connection:
        found = select(trials.trial_id).where(trials.study_id == study_id, trials.trial_id > newest)
        return list(connection.scalars(found))


@retried
def read_trials(database: Database, study_id: int, ids: Sequence[int] | None = None) -> list[TrialRow]:
    """The study's trials by number, from a handful of statements.

    Args:
        ids: Only these; None means all.
    """
    with database.read() as connection:
        if ids is None:
            return _read(connection, _optuna.TRIALS.c.study_id == study_id, ATTEMPTS.c.study_id == study_id)
        found: list[TrialRow] = []
        for start in range(0, len(ids), MOST_IDS):
            some = ids[start : start + MOST_IDS]
            found += _read(connection, _optuna.TRIALS.c.trial_id.in_(some), ATTEMPTS.c.trial_id.in_(some))
    return sorted(found, key=lambda row: row.number)


def _read(connection: Connection, chosen: ColumnElement[bool], attempts: ColumnElement[bool]) -> list[TrialRow]:
    trials = list(connection.execute(select(_optuna.TRIALS).where(chosen)))
    mine: dict[int, list[Row[Any]]] = defaultdict(list)
    for attempt in connection.execute(
        select(ATTEMPTS, utc_now().label("now")).where(attempts).order_by(ATTEMPTS.c.attempt)
    ):
        mine[attempt.trial_id].append(attempt)
    values = _by_trial(_of_trials(connection, _optuna.TRIAL_VALUES, chosen), _value)
    parameters = _by_trial(_of_trials(connection, _optuna.TRIAL_PARAMS, chosen), _parameter)
    attributes = _by_trial(_of_trials(connection, _optuna.TRIAL_USER_ATTRIBUTES, chosen), _attribute)
    curves = _by_trial(_of_trials(connection, _optuna.INTERMEDIATE_VALUES, chosen), _intermediate)
    return [
        _trial(row, mine[row.trial_id], values.get(row.trial_id, {}), parameters, attributes, curves)
        for row in sorted(trials, key=lambda row: row.number)
    ]


def _trial(
    row: Row[Any],
    attempts: list[Row[Any]],
    values: Mapping[int, float],
    parameters: Mapping[int, dict[str, Any]],
    attributes: Mapping[int, dict[str, Any]],
    curves: Mapping[int, dict[int, float]],
) -> TrialRow:
    last = attempts[-1] if attempts else None
    return TrialRow(
        trial_id=row.trial_id,
        number=row.number,
        state=row.state,
        value=values.get(0),
        parameters=parameters.get(row.trial_id, {}),
        attributes=attributes.get(row.trial_id, {}),
        values=dict(sorted(curves.get(row.trial_id, {}).items())),
        ours=last is not None,
        attempts=len(attempts),
        attempt_state=last.state if last else None,
        failure=last.failure if last else None,
        message=last.message if last and last.state is not AttemptState.PAUSED else None,
        agent_id=last.agent_id if last else None,
        slot=last.slot if last else None,
        seconds=sum(map(held_seconds, attempts)),
        weights=last.weights if last else None,
        started_at=row.datetime_start,
        ended_at=row.datetime_complete,
        token=last.token if last else None,
        all_values=tuple(value for _, value in sorted(values.items())),
    )


def _of_trials(connection: Connection, table: Any, chosen: ColumnElement[bool]) -> list[Row[Any]]:
    trials = _optuna.TRIALS
    joined = select(table).join(trials, trials.c.trial_id == table.c.trial_id).where(chosen)
    return list(connection.execute(joined))


def _by_trial(rows: list[Row[Any]], pair: Any) -> dict[int, dict[Any, Any]]:
    found: dict[int, dict[Any, Any]] = defaultdict(dict)
    for row in rows:
        key, value = pair(row)
        found[row.trial_id][key] = value
    return found


_distribution = lru_cache(maxsize=1024)(json_to_distribution)


def _parameter(row: Row[Any]) -> tuple[str, Any]:
    return row.param_name, _distribution(row.distribution_json).to_external_repr(row.param_value)


def _attribute(row: Row[Any]) -> tuple[str, Any]:
    return row.key, json.loads(row.value_json)


def _intermediate(row: Row[Any]) -> tuple[int, float]:
    return row.step, _optuna.intermediate_value(row.intermediate_value, row.intermediate_value_type)


def _value(row: Row[Any]) -> tuple[int, float]:
    return row.objective, _optuna.final_value(row.value, row.value_type)
