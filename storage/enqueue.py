"""Add a trial whose parameters are given, as ``study.enqueue_trial`` does."""

from collections.abc import Mapping
from typing import Any

from optuna.trial import TrialState, create_trial

from storage import _trial_rows
from storage.database import Database


def enqueue(
    database: Database, study_id: int, parameters: Mapping[str, Any], *, attributes: Mapping[str, Any] | None = None
) -> int:
    """Add a waiting trial; the next claim takes it. Parameters that are not given are sampled.

    Returns:
        The trial's number.
    """
    template = create_trial(
        state=TrialState.WAITING,
        system_attrs={"fixed_params": dict(parameters)},
        user_attrs=dict(attributes or {}),
    )
    with database.write() as connection:
        _, number = _trial_rows.create(connection, study_id, template)
    return number
