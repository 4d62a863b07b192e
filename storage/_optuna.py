"""The one place that touches Optuna's private database models and study internals.

Everything here is pinned by ``optuna>=5.0,<5.1`` and checked by `check_schema`.
"""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import optuna
from optuna.artifacts._upload import ARTIFACTS_ATTR_PREFIX
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.study._constrained_optimization import _CONSTRAINTS_KEY
from optuna.study.study import _SYSTEM_ATTR_METRIC_NAMES
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, NullPool, Table, insert, inspect, select, text
from sqlalchemy.engine import URL

from storage._engine import engine_options
from storage.errors import SchemaError

STUDIES: Table = models.StudyModel.__table__
TRIALS: Table = models.TrialModel.__table__
TRIAL_VALUES: Table = models.TrialValueModel.__table__
TRIAL_PARAMS: Table = models.TrialParamModel.__table__
TRIAL_USER_ATTRIBUTES: Table = models.TrialUserAttributeModel.__table__
TRIAL_SYSTEM_ATTRIBUTES: Table = models.TrialSystemAttributeModel.__table__
INTERMEDIATE_VALUES: Table = models.TrialIntermediateValueModel.__table__
TRIAL_HEARTBEATS: Table = models.TrialHeartbeatModel.__table__
STUDY_DIRECTIONS: Table = models.StudyDirectionModel.__table__
STUDY_USER_ATTRIBUTES: Table = models.StudyUserAttributeModel.__table__
STUDY_SYSTEM_ATTRIBUTES: Table = models.StudySystemAttributeModel.__table__

TRIAL_CHILDREN = (
    TRIAL_VALUES,
    TRIAL_PARAMS,
    TRIAL_USER_ATTRIBUTES,
    TRIAL_SYSTEM_ATTRIBUTES,
    INTERMEDIATE_VALUES,
    TRIAL_HEARTBEATS,
)
STUDY_CHILDREN = (STUDY_DIRECTIONS, STUDY_USER_ATTRIBUTES, STUDY_SYSTEM_ATTRIBUTES)

NAME_LENGTH = models.MAX_INDEXED_STRING_LENGTH
"""Characters that a study's name and an attribute's key may have."""

stored_value = models.TrialValueModel.value_to_stored_repr
final_value = models.TrialValueModel.stored_repr_to_value
stored_intermediate_value = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
intermediate_value = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value


def check_schema(connection: Connection) -> None:
    """Refuse a database whose Optuna tables this version was not written for.

    Raises:
        SchemaError: The recorded schema version is not the one of the installed Optuna.
    """
    tables = set(inspect(connection).get_table_names())
    version = models.VersionInfoModel.__table__
    if version.name in tables:
        found = connection.scalar(select(version.c.schema_version))
        if found not in (None, models.SCHEMA_VERSION):
            raise _other_schema(found, models.SCHEMA_VERSION)
    if "alembic_version" in tables:
        revisions = list(connection.scalars(text("SELECT version_num FROM alembic_version")))
        if revisions not in ([], [HEAD_REVISION]):
            raise _other_schema(", ".join(revisions), HEAD_REVISION)


ENDED_IN = "ended_in"
"""User attribute of a trial that ended in an older study: ``OLD/number``. Samplers learn from it, pruners do not."""

HEAD_REVISION = "v3.2.0.a"
"""The newest migration of the installed Optuna."""


def _other_schema(found: object, needed: object) -> SchemaError:
    return SchemaError(
        f"the database has Optuna's schema version {found}; Optuna {optuna.__version__} needs {needed}: "
        "run `optuna storage upgrade --storage URL` if it is an older Optuna's, else give a database of its own"
    )


def create_tables(url: URL) -> None:
    """Create Optuna's tables; its versions' records make a stock Optuna accept them.

    Raises:
        StorageInternalError: Another process creates them at this moment.
        DBAPIError: Likewise, or the database cannot be written.
    """
    # Without a pool no connection is left behind when this fails.
    RDBStorage(_template(url), engine_kwargs=engine_options(url) | {"poolclass": NullPool})


def keep_microseconds(connection: Connection) -> None:
    """Give trials' times microseconds on MariaDB, where Optuna's own columns round to seconds; only while empty."""
    empty = connection.scalar(select(TRIALS.c.trial_id).limit(1)) is None
    if connection.dialect.name in ("mysql", "mariadb") and empty:
        columns = "MODIFY datetime_start DATETIME(6), MODIFY datetime_complete DATETIME(6)"
        connection.exec_driver_sql(f"ALTER TABLE trials {columns}")


def _template(url: URL) -> str:
    # Optuna fills in a template.
    return url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")


def insert_study(connection: Connection, name: str, directions: Sequence[str], metric_names: Sequence[str]) -> int:
    """Add a study as ``optuna.create_study`` and ``set_metric_names`` do; its id.

    Raises:
        IntegrityError: There is a study of that name.
    """
    study_id: int = connection.execute(insert(STUDIES).values(study_name=name)).inserted_primary_key[0]  # type: ignore[index]
    rows = [
        {"study_id": study_id, "objective": objective, "direction": StudyDirection[direction.upper()]}
        for objective, direction in enumerate(directions)
    ]
    connection.execute(insert(STUDY_DIRECTIONS), rows)
    set_metric_names(connection, study_id, metric_names)
    return study_id


def study_directions(connection: Connection, study_id: int) -> list[str]:
    """``maximize`` or ``minimize`` for each objective."""
    table = STUDY_DIRECTIONS
    found = select(table.c.direction).where(table.c.study_id == study_id).order_by(table.c.objective)
    return [direction.name.lower() for direction in connection.scalars(found)]


def set_metric_names(connection: Connection, study_id: int, metric_names: Sequence[str]) -> None:
    """Name the objectives for the dashboard, unless they have names."""
    table, key = STUDY_SYSTEM_ATTRIBUTES, _SYSTEM_ATTR_METRIC_NAMES
    named = select(table.c.key).where(table.c.study_id == study_id, table.c.key == key)
    if connection.scalar(named) is None:
        row = {"study_id": study_id, "key": key, "value_json": json.dumps(list(metric_names))}
        connection.execute(insert(table).values(row))


def artifact_key(artifact_id: str) -> str:
    """The key under which ``optuna.artifacts.upload_artifact`` keeps an artifact among a trial's system attributes."""
    return f"{ARTIFACTS_ATTR_PREFIX}{artifact_id}"


def constraint_key(name: str) -> str:
    """The key under which ``trial.set_constraint`` keeps a constraint among a trial's system attributes."""
    return f"{_CONSTRAINTS_KEY}:{name}"


@contextmanager
def reading_from(study: optuna.Study, storage: object) -> Iterator[None]:
    """Inside the context the study's own calls go to another storage, which answers to the same ones."""
    before = study._storage
    study._storage = storage  # type: ignore[assignment]
    try:
        yield
    finally:
        study._storage = before


def new_trial(number: int, trial_id: int) -> FrozenTrial:
    """A trial as it is when it has just been started: without parameters, values or attributes."""
    now = datetime.now()
    return FrozenTrial(number, TrialState.RUNNING, None, now, None, {}, {}, {}, {}, {}, trial_id, values=None)


def forget_cached_trials(study: optuna.Study) -> None:
    """Make the next sampler call read the trials anew, as ``study.ask`` does."""
    study._thread_local.cached_all_trials = None


def utc(time: datetime | None) -> datetime | None:
    """Optuna's objects carry naive local time; its tables naive UTC."""
    return None if time is None else time.astimezone(UTC).replace(tzinfo=None)


def decoded(value: float | None, kind: str) -> float:
    """A stored number: the column itself where it is finite, else what its kind says."""
    return value if value is not None and kind == "FINITE" else _NOT_FINITE[kind]


_NOT_FINITE = {"NAN": math.nan, "INF_POS": math.inf, "INF_NEG": -math.inf}
