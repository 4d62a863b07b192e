"""A study with all its rows, copied from one database to another: the file of a backup is a database itself."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from storage import _optuna, tables
from storage._schema import ensure_tables, upgrade_tables
from storage.database import Database
from storage.errors import ConfigError, StudyMissing

_OURS = (tables.STUDIES, tables.AGENTS, tables.ATTEMPTS, tables.EPOCHS, tables.CHANGES, tables.TEST_OPENINGS)
"""Those with a study's id. Workers are left out: none of them lives when the copy is used."""


def copy_study(source: Database, target: Database, name: str, *, as_name: str | None = None) -> int:
    """Copy a study, under new ids; the number of its trials.

    Everything is read at one moment and written in one transaction. Trials that were running then are lost ones in the
    copy: the next agent takes them up when their lease has ended.

    Args:
        source: Has the study; its tables are brought up to date.
        target: Its tables are created where they are missing.
        name: The study's name.
        as_name: Its name in the target; None means the same.

    Raises:
        StudyMissing: The source has no such study.
        ConfigError: The target has a study of that name.
    """
    new_name = as_name or name
    upgrade_tables(source)
    rows = _read(source, name)
    ensure_tables(target)
    with target.write() as connection:
        studies = _optuna.STUDIES
        if connection.scalar(select(studies.c.study_id).where(studies.c.study_name == new_name)) is not None:
            raise ConfigError(f"{target.name} has a study {new_name!r}; give the copy another name with --as NAME")
        study_id = _added(connection, studies, {"study_name": new_name})
        trials = {
            row["trial_id"]: _added(connection, _optuna.TRIALS, _without(row, "trial_id") | {"study_id": study_id})
            for row in rows[_optuna.TRIALS]
        }
        for table, found in rows.items():
            if table is not _optuna.TRIALS:
                _write(connection, table, found, study_id, trials)
    return len(trials)


Rows = dict[Table, list[dict[str, Any]]]


def _read(source: Database, name: str) -> Rows:
    with source.read() as connection:
        studies = _optuna.STUDIES
        study_id = None
        if connection.dialect.has_table(connection, studies.name):
            study_id = connection.scalar(select(studies.c.study_id).where(studies.c.study_name == name))
        if study_id is None:
            raise StudyMissing(f"no study {name!r} in {source.name}")
        trials = _optuna.TRIALS
        rows = {trials: _of(connection, trials, trials.c.study_id == study_id)}
        for table in (*_optuna.STUDY_CHILDREN, *_OURS):
            if connection.dialect.has_table(connection, table.name):
                rows[table] = _of(connection, table, table.c.study_id == study_id)
        mine = select(trials.c.trial_id).where(trials.c.study_id == study_id)
        for table in _optuna.TRIAL_CHILDREN:
            rows[table] = _of(connection, table, table.c.trial_id.in_(mine))
    return rows


def _of(connection: Connection, table: Table, condition: Any) -> list[dict[str, Any]]:
    order = list(table.primary_key.columns)
    return [dict(row) for row in connection.execute(select(table).where(condition).order_by(*order)).mappings()]


def _write(
    connection: Connection, table: Table, rows: list[dict[str, Any]], study_id: int, trials: Mapping[int, int]
) -> None:
    key = table.primary_key.columns[0]
    numbered = len(table.primary_key.columns) == 1 and key.name not in ("study_id", "trial_id", "token", "agent_id")
    written = []
    for row in rows:
        row = _without(row, key.name) if numbered else dict(row)
        if "study_id" in row:
            row["study_id"] = study_id
        if "trial_id" in row:
            row["trial_id"] = trials[row["trial_id"]]
        if table is tables.AGENTS:
            row["alive"] = False
        written.append(row)
    if written:
        connection.execute(insert(table), written)


def _added(connection: Connection, table: Table, row: Mapping[str, Any]) -> int:
    key = connection.execute(insert(table).values(dict(row))).inserted_primary_key
    return int(key[0])  # type: ignore[index]  # an insert of one row has a key


def _without(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}
