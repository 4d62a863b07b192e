"""One trial's rows in Optuna's tables: each function is the inside of one transaction."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Table, bindparam, insert, select, update

from storage import _optuna, _study_rows
from storage._upsert import upsert
from storage.clock import utc_now


def create(connection: Connection, study_id: int, template: FrozenTrial | None = None) -> tuple[int, int]:
    """Insert a trial, RUNNING unless a template says otherwise; its id and number.

    Raises:
        KeyError: There is no such study.
    """
    # The lock keeps numbers unique and gapless, and ids committed in order; stock Optuna takes it too.
    _study_rows.require(connection, study_id, lock=True)
    trials = _optuna.TRIALS
    number = next_number(connection, study_id)
    row: dict[str, Any] = {"study_id": study_id, "number": number}
    if template is None:
        row |= {"state": TrialState.RUNNING, "datetime_start": utc_now()}
    else:
        times = {"datetime_start": template.datetime_start, "datetime_complete": template.datetime_complete}
        row |= {"state": template.state} | {name: _optuna.utc(time) for name, time in times.items()}
    key = connection.execute(insert(trials).values(row)).inserted_primary_key
    trial_id = int(key[0])  # type: ignore[index]  # an insert of one row has a key
    if template is not None:
        _copy(connection, trial_id, template)
    return trial_id, number


def next_number(connection: Connection, study_id: int) -> int:
    """The number of the study's next trial; under the lock of its row, where numbers rise with ids without a gap."""
    last = connection.scalar(_LAST_NUMBER, {"study": study_id})
    return 0 if last is None else int(last) + 1


_LAST_NUMBER = (
    select(_optuna.TRIALS.c.number)
    .where(_optuna.TRIALS.c.study_id == bindparam("study"))
    .order_by(_optuna.TRIALS.c.trial_id.desc())
    .limit(1)
)


def _copy(connection: Connection, trial_id: int, template: FrozenTrial) -> None:
    set_values(connection, trial_id, template.values or ())
    internal = {
        name: (template.distributions[name].to_internal_repr(value), template.distributions[name])
        for name, value in template.params.items()
    }
    add_parameters(connection, trial_id, internal)
    set_attributes(connection, _optuna.TRIAL_USER_ATTRIBUTES, trial_id, template.user_attrs)
    set_attributes(connection, _optuna.TRIAL_SYSTEM_ATTRIBUTES, trial_id, template.system_attrs)
    set_intermediates(connection, trial_id, template.intermediate_values)


def require_open(connection: Connection, trial_id: int, *, lock: bool = False) -> tuple[int, TrialState]:
    """The id of the trial's study and its state, which is not finished.

    Raises:
        KeyError: There is no such trial.
        UpdateFinishedTrialError: It is finished.
    """
    trials = _optuna.TRIALS
    statement = select(trials.c.study_id, trials.c.state, trials.c.number).where(trials.c.trial_id == trial_id)
    row = connection.execute(statement.with_for_update() if lock else statement).one_or_none()
    if row is None:
        raise KeyError(f"no trial with id {trial_id}")
    if row.state.is_finished():
        raise UpdateFinishedTrialError(f"trial {row.number} is {row.state.name} and does not change any more")
    return row.study_id, row.state


def set_state(connection: Connection, trial_id: int, state: TrialState, values: Sequence[float] | None) -> bool:
    """Set state and values; False if the trial was to start running but does already.

    Raises:
        KeyError: There is no such trial.
        UpdateFinishedTrialError: It is finished.
    """
    _, before = require_open(connection, trial_id, lock=True)
    set_values(connection, trial_id, values or ())
    if state is TrialState.RUNNING and before is not TrialState.WAITING:
        return False
    changed: dict[str, Any] = {"state": state}
    if state is TrialState.RUNNING:
        changed["datetime_start"] = utc_now()
    if state.is_finished():
        changed["datetime_complete"] = utc_now()
    connection.execute(update(_optuna.TRIALS).where(_optuna.TRIALS.c.trial_id == trial_id).values(changed))
    return True


def set_values(connection: Connection, trial_id: int, values: Sequence[float]) -> None:
    """Set the objectives' values."""
    rows = []
    for objective, value in enumerate(values):
        stored, kind = _optuna.stored_value(value)
        rows.append({"trial_id": trial_id, "objective": objective, "value": stored, "value_type": kind})
    upsert(connection, _optuna.TRIAL_VALUES, rows, key=("trial_id", "objective"), change=("value", "value_type"))


def add_parameters(
    connection: Connection, trial_id: int, parameters: Mapping[str, tuple[float, BaseDistribution]]
) -> None:
    """Add parameters: internal value and distribution by name, in one statement; those there already stay."""
    rows = [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": value,
            "distribution_json": distribution_to_json(distribution),
        }
        for name, (value, distribution) in parameters.items()
    ]
    upsert(connection, _optuna.TRIAL_PARAMS, rows, key=("trial_id", "param_name"), change=())


def set_intermediates(connection: Connection, trial_id: int, values: Mapping[int, float]) -> None:
    """Set the values reported at some steps, in one statement."""
    rows = []
    for step, value in values.items():
        stored, kind = _optuna.stored_intermediate_value(value)
        rows.append({"trial_id": trial_id, "step": step, "intermediate_value": stored, "intermediate_value_type": kind})
    change = ("intermediate_value", "intermediate_value_type")
    upsert(connection, _optuna.INTERMEDIATE_VALUES, rows, key=("trial_id", "step"), change=change)


def set_attributes(connection: Connection, table: Table, trial_id: int, attributes: Mapping[str, Any]) -> None:
    """Set user or system attributes, in one statement."""
    rows = [{"trial_id": trial_id, "key": key, "value_json": json.dumps(value)} for key, value in attributes.items()]
    upsert(connection, table, rows, key=("trial_id", "key"), change=("value_json",))


def known_distribution(connection: Connection, study_id: int, name: str) -> str | None:
    """The distribution, as stored, that some trial of the study has for this parameter."""
    parameters, trials = _optuna.TRIAL_PARAMS, _optuna.TRIALS
    found: str | None = connection.scalar(
        select(parameters.c.distribution_json)
        .join(trials, trials.c.trial_id == parameters.c.trial_id)
        .where(trials.c.study_id == study_id, parameters.c.param_name == name)
        .limit(1)
    )
    return found
