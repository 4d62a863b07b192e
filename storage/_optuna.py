"""The one place that touches Optuna's private database models and study internals.

Everything here is pinned by ``optuna>=5.0,<5.1`` and checked by `check_schema`.
"""

import optuna
from optuna.storages._rdb import models
from sqlalchemy import Connection, Table, inspect, select

from storage.errors import SchemaError

STUDIES: Table = models.StudyModel.__table__
TRIALS: Table = models.TrialModel.__table__
TRIAL_VALUES: Table = models.TrialValueModel.__table__
TRIAL_PARAMS: Table = models.TrialParamModel.__table__
TRIAL_USER_ATTRIBUTES: Table = models.TrialUserAttributeModel.__table__
TRIAL_SYSTEM_ATTRIBUTES: Table = models.TrialSystemAttributeModel.__table__
INTERMEDIATE_VALUES: Table = models.TrialIntermediateValueModel.__table__

stored_value = models.TrialValueModel.value_to_stored_repr
final_value = models.TrialValueModel.stored_repr_to_value
stored_intermediate_value = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
intermediate_value = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value


def check_schema(connection: Connection) -> None:
    """Refuse a database whose Optuna tables this version was not written for.

    Raises:
        SchemaError: The recorded schema version is not the one of the installed Optuna.
    """
    table = models.VersionInfoModel.__table__
    if not inspect(connection).has_table(table.name):
        return
    found = connection.scalar(select(table.c.schema_version))
    if found is not None and found != models.SCHEMA_VERSION:
        raise SchemaError(
            f"the database has Optuna's schema version {found}; Optuna {optuna.__version__} needs "
            f"{models.SCHEMA_VERSION}: run `optuna storage upgrade --storage URL` with a suitable Optuna first"
        )


def forget_cached_trials(study: optuna.Study) -> None:
    """Make the next sampler call read the trials anew, as ``study.ask`` does."""
    study._thread_local.cached_all_trials = None


