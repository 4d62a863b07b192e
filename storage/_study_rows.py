"""Studies in Optuna's tables: each function is the inside of one transaction."""

import json
import uuid
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from optuna.exceptions import DuplicatedStudyError
from optuna.storages._base import DEFAULT_STUDY_NAME_PREFIX
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from sqlalchemy import Connection, Table, delete, insert, select

from storage import _optuna
from storage._upsert import upsert


def create(connection: Connection, directions: Sequence[StudyDirection], name: str | None) -> int:
    """Insert a study; its id.

    Raises:
        DuplicatedStudyError: One of that name exists.
    """
    table = _optuna.STUDIES
    name = DEFAULT_STUDY_NAME_PREFIX + str(uuid.uuid4()) if name is None else name
    if connection.scalar(select(table.c.study_id).where(table.c.study_name == name)) is not None:
        raise DuplicatedStudyError(f"a study named {name!r} exists")
    key = connection.execute(insert(table).values(study_name=name)).inserted_primary_key
    study_id = int(key[0])  # type: ignore[index]  # an insert of one row has a key
    rows = [{"study_id": study_id, "direction": d, "objective": i} for i, d in enumerate(directions)]
    connection.execute(insert(_optuna.STUDY_DIRECTIONS), rows)
    return study_id


def remove(connection: Connection, study_id: int) -> None:
    """Delete a study with all its rows.

    Raises:
        KeyError: There is none.
    """
    require(connection, study_id, lock=True)
    trials = select(_optuna.TRIALS.c.trial_id).where(_optuna.TRIALS.c.study_id == study_id)
    for table in _optuna.TRIAL_CHILDREN:
        connection.execute(delete(table).where(table.c.trial_id.in_(trials)))
    for table in (_optuna.TRIALS, *_optuna.STUDY_CHILDREN, _optuna.STUDIES):
        connection.execute(delete(table).where(table.c.study_id == study_id))


def require(connection: Connection, study_id: int, *, lock: bool = False) -> str:
    """The study's name, its row locked if asked.

    Raises:
        KeyError: There is no such study.
    """
    table = _optuna.STUDIES
    statement = select(table.c.study_name).where(table.c.study_id == study_id)
    name = connection.scalar(statement.with_for_update() if lock else statement)
    if name is None:
        raise KeyError(f"no study with id {study_id}")
    return str(name)


def id_of(connection: Connection, name: str) -> int:
    """The id of the study of that name.

    Raises:
        KeyError: There is none.
    """
    table = _optuna.STUDIES
    study_id = connection.scalar(select(table.c.study_id).where(table.c.study_name == name))
    if study_id is None:
        raise KeyError(f"no study named {name!r}")
    return int(study_id)


def set_attribute(connection: Connection, table: Table, study_id: int, key: str, value: Any) -> None:
    """Set a user or system attribute.

    Raises:
        KeyError: There is no such study.
    """
    require(connection, study_id)
    row = {"study_id": study_id, "key": key, "value_json": json.dumps(value)}
    upsert(connection, table, [row], key=("study_id", "key"), change=("value_json",))


def attributes(connection: Connection, table: Table, study_id: int) -> dict[str, Any]:
    """All user or system attributes.

    Raises:
        KeyError: There is no such study.
    """
    require(connection, study_id)
    rows = connection.execute(select(table.c.key, table.c.value_json).where(table.c.study_id == study_id))
    return {key: json.loads(text) for key, text in rows}


def directions(connection: Connection, study_id: int) -> list[StudyDirection]:
    """The directions of the study's objectives.

    Raises:
        KeyError: There is no such study.
    """
    require(connection, study_id)
    table = _optuna.STUDY_DIRECTIONS
    chosen = select(table.c.direction).where(table.c.study_id == study_id).order_by(table.c.objective)
    return list(connection.scalars(chosen))


def read_all(connection: Connection) -> list[FrozenStudy]:
    """All studies, by id."""
    found: dict[Table, dict[int, dict[Any, Any]]] = {}
    for table, key, value in (
        (_optuna.STUDY_DIRECTIONS, "objective", "direction"),
        (_optuna.STUDY_USER_ATTRIBUTES, "key", "value_json"),
        (_optuna.STUDY_SYSTEM_ATTRIBUTES, "key", "value_json"),
    ):
        grouped: dict[int, dict[Any, Any]] = defaultdict(dict)
        for study_id, name, item in connection.execute(select(table.c.study_id, table.c[key], table.c[value])):
            grouped[study_id][name] = item if key == "objective" else json.loads(item)
        found[table] = grouped
    studies = _optuna.STUDIES.c
    rows = connection.execute(select(studies.study_id, studies.study_name).order_by(studies.study_id))
    return [
        FrozenStudy(
            study_name=name,
            direction=None,
            directions=[d for _, d in sorted(found[_optuna.STUDY_DIRECTIONS][study_id].items())],
            user_attrs=found[_optuna.STUDY_USER_ATTRIBUTES][study_id],
            system_attrs=found[_optuna.STUDY_SYSTEM_ATTRIBUTES][study_id],
            study_id=study_id,
        )
        for study_id, name in rows
    ]
