"""Trials from Optuna's tables, many at once: one statement per table, shared distributions."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import BindParameter, ColumnElement, Connection, Select, String, bindparam, select, type_coerce

from storage import _optuna

MOST_IDS = 500
"""Ids in one IN list; SQLite and drivers have limits, and long lists are slow to compile."""

_STATES = {state.name: state for state in TrialState}


@lru_cache(maxsize=4096)
def distribution(text: str) -> BaseDistribution:
    """Decode a distribution; equal ones are one object, since thousands of trials share a few."""
    return json_to_distribution(text)


@lru_cache(maxsize=65536)
def _key(text: str) -> str:
    """One object per name: thousands of trials share a few."""
    return text


def read_trials(connection: Connection, study_id: int, ids: Sequence[int] | None = None) -> list[FrozenTrial]:
    """The study's trials in order of their ids.

    Args:
        connection: Inside a transaction.
        study_id: Of the study.
        ids: Only these trials; None means all.
    """
    if ids is None:
        return _read(connection, _optuna.TRIALS.c.study_id == study_id, join=True)
    found: list[FrozenTrial] = []
    for start in range(0, len(ids), MOST_IDS):
        found += _read(connection, _optuna.TRIALS.c.trial_id.in_(ids[start : start + MOST_IDS]), join=False)
    return found


@dataclass
class Course:
    """What a running trial has reported, by step, and what pruners have noted of it."""

    values: dict[int, float] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


def read_courses(connection: Connection, ids: Sequence[int]) -> dict[int, Course]:
    """How far these trials have come, by id."""
    found = {trial_id: Course() for trial_id in ids}
    for start in range(0, len(ids), MOST_IDS):
        some = ids[start : start + MOST_IDS]
        for trial_id, step, value, kind in connection.execute(_VALUES, {"ids": some}):
            found[trial_id].values[step] = _optuna.decoded(value, kind)
        for trial_id, name, text in connection.execute(_NOTES, {"ids": some}):
            found[trial_id].notes[_key(name)] = json.loads(text)
    return found


_IDS: BindParameter[Sequence[int]] = bindparam("ids", expanding=True)
_VALUES = select(
    _optuna.INTERMEDIATE_VALUES.c.trial_id,
    _optuna.INTERMEDIATE_VALUES.c.step,
    _optuna.INTERMEDIATE_VALUES.c.intermediate_value,
    type_coerce(_optuna.INTERMEDIATE_VALUES.c.intermediate_value_type, String),
).where(_optuna.INTERMEDIATE_VALUES.c.trial_id.in_(_IDS))
_NOTES = select(
    _optuna.TRIAL_SYSTEM_ATTRIBUTES.c.trial_id,
    _optuna.TRIAL_SYSTEM_ATTRIBUTES.c.key,
    _optuna.TRIAL_SYSTEM_ATTRIBUTES.c.value_json,
).where(_optuna.TRIAL_SYSTEM_ATTRIBUTES.c.trial_id.in_(_IDS))


def _read(connection: Connection, chosen: ColumnElement[bool], *, join: bool) -> list[FrozenTrial]:
    trials = _optuna.TRIALS.c
    rows = connection.execute(
        select(
            trials.trial_id,
            trials.number,
            type_coerce(trials.state, String),
            trials.datetime_start,
            trials.datetime_complete,
        )
        .where(chosen)
        .order_by(trials.trial_id)
    )
    found = {row[0]: _empty(*row) for row in rows}
    if found:
        ids = None if join else list(found)
        _fill(connection, found, chosen, ids)
    return list(found.values())


def _empty(trial_id: int, number: int, state: str, start: datetime | None, complete: datetime | None) -> FrozenTrial:
    return FrozenTrial(
        number, _STATES[state], None, _local(start), _local(complete), {}, {}, {}, {}, {}, trial_id, values=None
    )


def _local(time: datetime | None) -> datetime | None:
    """Stored as naive UTC; Optuna's objects carry naive local time."""
    return None if time is None else time.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


def _fill(
    connection: Connection, found: dict[int, FrozenTrial], chosen: ColumnElement[bool], ids: Sequence[int] | None
) -> None:
    def rows(table: Any, order: Any, *columns: Any) -> Iterable[Any]:
        # A trial that was added since the trials were read is left for the next reading.
        return (row for row in connection.execute(_children(table, order, columns, chosen, ids)) if row[0] in found)

    table = _optuna.TRIAL_PARAMS.c
    for trial_id, name, value, text in rows(
        _optuna.TRIAL_PARAMS, table.param_id, table.param_name, table.param_value, table.distribution_json
    ):
        kind = distribution(text)
        trial, name = found[trial_id], _key(name)
        trial._params[name] = kind.to_external_repr(value)
        trial._distributions[name] = kind
    table = _optuna.TRIAL_VALUES.c
    for trial_id, value, kind in rows(
        _optuna.TRIAL_VALUES, table.objective, table.value, type_coerce(table.value_type, String)
    ):
        trial = found[trial_id]
        trial._values = [*(trial._values or []), _optuna.decoded(value, kind)]
    table = _optuna.INTERMEDIATE_VALUES.c
    for trial_id, step, value, kind in rows(
        _optuna.INTERMEDIATE_VALUES,
        None,
        table.step,
        table.intermediate_value,
        type_coerce(table.intermediate_value_type, String),
    ):
        found[trial_id].intermediate_values[step] = _optuna.decoded(value, kind)
    for attributes, place in (
        (_optuna.TRIAL_USER_ATTRIBUTES, "_user_attrs"),
        (_optuna.TRIAL_SYSTEM_ATTRIBUTES, "_system_attrs"),
    ):
        for trial_id, name, text in rows(attributes, None, attributes.c.key, attributes.c.value_json):
            getattr(found[trial_id], place)[_key(name)] = json.loads(text)


def _children(
    table: Any, order: Any, columns: Sequence[Any], chosen: ColumnElement[bool], ids: Sequence[int] | None
) -> Select[Any]:
    statement = select(table.c.trial_id, *columns)
    if ids is None:
        trials = _optuna.TRIALS
        statement = statement.join(trials, trials.c.trial_id == table.c.trial_id).where(chosen)
    else:
        statement = statement.where(table.c.trial_id.in_(ids))
    return statement if order is None else statement.order_by(order)  # pyright: ignore[reportReturnType]  # as many columns as given
