"""Studies as the dashboard shows them, read without what it does not show."""

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from optuna.study._frozen import FrozenStudy
from optuna_dashboard._serializer import serialize_frozen_study
from optuna_dashboard.preferential._study import _SYSTEM_ATTR_PREFERENTIAL_STUDY
from sqlalchemy import Connection, select

from storage import _optuna, _study_rows
from storage._cache import Changes, Position
from storage.database import Database, retried
from storage.trial_storage import TrialStorage

_OF_TRIAL = re.compile(r"dashboard:(?:artifacts:)?(\d+):")
"""Keys of attributes of a study that belong to one trial: its note, files added in the dashboard."""


@dataclass(frozen=True)
class Reading:
    """A study and what has changed in it, as they were at one moment."""

    study: FrozenStudy
    changes: Changes

    @property
    def is_preferential(self) -> bool:
        """Whether a human compares its trials."""
        return bool(self.study.system_attrs.get(_SYSTEM_ATTR_PREFERENTIAL_STUDY, False))

    def notes(self) -> dict[int, dict[str, Any]]:
        """The study's attributes that belong to single trials, by the trial's id."""
        found: dict[int, dict[str, Any]] = defaultdict(dict)
        for key, value in self.study.system_attrs.items():
            match = _OF_TRIAL.match(key)
            if match:
                found[int(match[1])][key] = value
        return dict(found)


@retried
def read_study(database: Database, storage: TrialStorage, study_id: int, since: Position | None) -> Reading:
    """Read a study, and of its trials what is new since a position.

    Raises:
        KeyError: There is no such study.
        DatabaseError: The database cannot be reached.
    """
    with database.read() as connection:
        study = FrozenStudy(
            study_name=_study_rows.require(connection, study_id),
            direction=None,
            directions=_study_rows.directions(connection, study_id),
            user_attrs=_study_rows.attributes(connection, _optuna.STUDY_USER_ATTRIBUTES, study_id),
            system_attrs=_study_rows.attributes(connection, _optuna.STUDY_SYSTEM_ATTRIBUTES, study_id),
            study_id=study_id,
        )
        return Reading(study, storage.read_changes(connection, study_id, since))


@retried
def read_summaries(database: Database) -> list[dict[str, Any]]:
    """All studies by id as the dashboard lists them: their plots and notes are not read.

    Raises:
        DatabaseError: The database cannot be reached.
    """
    with database.read() as connection:
        studies = _optuna.STUDIES.c
        rows = connection.execute(select(studies.study_id, studies.study_name).order_by(studies.study_id))
        found = {study_id: FrozenStudy(name, None, {}, {}, study_id, directions=[]) for study_id, name in rows}
        _fill(connection, found)
    return [serialize_frozen_study(study) for study in found.values()]


def _fill(connection: Connection, found: dict[int, FrozenStudy]) -> None:
    table = _optuna.STUDY_DIRECTIONS.c
    for study_id, direction in connection.execute(select(table.study_id, table.direction).order_by(table.objective)):
        if study_id in found:  # else it was added since
            found[study_id]._directions.append(direction)
    user, system = _optuna.STUDY_USER_ATTRIBUTES.c, _optuna.STUDY_SYSTEM_ATTRIBUTES.c
    for study_id, key, text in connection.execute(select(user.study_id, user.key, user.value_json)):
        if study_id in found:
            found[study_id].user_attrs[key] = json.loads(text)
    preferential = select(system.study_id, system.key, system.value_json).where(
        system.key == _SYSTEM_ATTR_PREFERENTIAL_STUDY
    )
    for study_id, key, text in connection.execute(preferential):
        if study_id in found:
            found[study_id].system_attrs[key] = json.loads(text)
