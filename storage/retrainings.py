"""Trials that train given parameters again: waiting trials of a study of their own, added once each."""

import json
from collections.abc import Mapping
from typing import Any

from optuna.trial import TrialState, create_trial
from sqlalchemy import Connection, func, insert, select, update

from storage import _optuna, _trial_rows
from storage.clock import utc_now
from storage.database import Database, retried
from storage.errors import StudyMissing
from storage.tables import CHANGES, STUDIES

CONFIRMS, REPETITION = "confirms", "repetition"
"""User attributes of a retraining: the number of the trial whose parameters it has, and which of them it is, from 1."""


@retried
def add_retrainings(
    database: Database,
    study_id: int,
    parameters: Mapping[int, Mapping[str, Any]],
    repetitions: int,
    *,
    changed_by: str,
) -> int:
    """Enqueue those retrainings that the study lacks, and raise its budget by as many; their number.

    One transaction under the lock of the study's row, so several callers at once add each retraining once. They come
    in turn, one of each trial and then the next of each, so that a part of them is a fair one.

    Args:
        parameters: Of each retrained trial, by its number.
        repetitions: How often each is to be trained.

    Raises:
        StudyMissing: The study has been deleted.
    """
    with database.write() as connection:
        mine = STUDIES.c.study_id == study_id
        if connection.scalar(select(STUDIES.c.study_id).where(mine).with_for_update()) is None:
            raise StudyMissing(f"the study with id {study_id} in {database.name} has been deleted")
        known = _known(connection, study_id)
        wanted = [(number, turn) for turn in range(1, repetitions + 1) for number in parameters]
        missing = [pair for pair in wanted if pair not in known]
        for number, turn in missing:
            fixed = {"fixed_params": dict(parameters[number])}  # as ``study.enqueue_trial`` says it
            about = {CONFIRMS: number, REPETITION: turn}
            waiting = create_trial(state=TrialState.WAITING, system_attrs=fixed, user_attrs=about)
            _trial_rows.create(connection, study_id, waiting)
        if missing:
            _grow(connection, study_id, len(missing), changed_by)
    return len(missing)


def _known(connection: Connection, study_id: int) -> set[tuple[int, int]]:
    """Number and repetition of each retraining that is there."""
    trials, attributes = _optuna.TRIALS, _optuna.TRIAL_USER_ATTRIBUTES
    rows = connection.execute(
        select(attributes.c.trial_id, attributes.c.key, attributes.c.value_json)
        .join(trials, trials.c.trial_id == attributes.c.trial_id)
        .where(trials.c.study_id == study_id, attributes.c.key.in_((CONFIRMS, REPETITION)))
    )
    found: dict[int, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row.trial_id, {})[row.key] = json.loads(row.value_json)
    return {(about[CONFIRMS], about[REPETITION]) for about in found.values() if len(about) == 2}


def _grow(connection: Connection, study_id: int, more: int, changed_by: str) -> None:
    mine = STUDIES.c.study_id == study_id
    added = func.coalesce(STUDIES.c.added_trials, 0)  # others' trials, which the configuration does not count
    row = connection.execute(select(STUDIES.c.trial_budget, STUDIES.c.config, added.label("added")).where(mine)).one()
    before, config = row.trial_budget or 0, json.loads(row.config)
    config["budget"]["trials"] = before - row.added + more
    connection.execute(update(STUDIES).where(mine).values(trial_budget=before + more, config=json.dumps(config)))
    if before:  # else the study has just been made, and nothing has changed
        who = {"study_id": study_id, "changed_at": utc_now(), "changed_by": changed_by[:255]}
        what = {"key": "budget.trials", "old": json.dumps(before), "new": json.dumps(before + more)}
        connection.execute(insert(CHANGES).values(**who, **what))
