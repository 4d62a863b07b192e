"""We read and write Optuna's tables ourselves: a release that changes them must be noticed."""

from optuna.storages._rdb import models

TABLES = {
    "studies": ["study_id", "study_name"],
    "study_directions": ["study_direction_id", "direction", "study_id", "objective"],
    "study_system_attributes": ["study_system_attribute_id", "study_id", "key", "value_json"],
    "study_user_attributes": ["study_user_attribute_id", "study_id", "key", "value_json"],
    "trial_heartbeats": ["trial_heartbeat_id", "trial_id", "heartbeat"],
    "trial_intermediate_values": [
        "trial_intermediate_value_id",
        "trial_id",
        "step",
        "intermediate_value",
        "intermediate_value_type",
    ],
    "trial_params": ["param_id", "trial_id", "param_name", "param_value", "distribution_json"],
    "trial_system_attributes": ["trial_system_attribute_id", "trial_id", "key", "value_json"],
    "trial_user_attributes": ["trial_user_attribute_id", "trial_id", "key", "value_json"],
    "trial_values": ["trial_value_id", "trial_id", "objective", "value", "value_type"],
    "trials": ["trial_id", "number", "study_id", "state", "datetime_start", "datetime_complete"],
    "version_info": ["version_info_id", "schema_version", "library_version"],
}
"""As of Optuna 5.0."""


def test_optunas_tables_are_those_we_were_written_for() -> None:
    found = {name: table.columns.keys() for name, table in models.BaseModel.metadata.tables.items()}

    assert found == TABLES
