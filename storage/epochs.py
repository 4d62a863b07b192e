"""What each epoch of a trial gave: losses, metrics, learning rate, time. Optuna keeps the study's metric alone."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from storage._fence import hold
from storage._rows import MOST_IDS
from storage._upsert import upsert
from storage.database import Database, retried
from storage.tables import EPOCHS

if TYPE_CHECKING:
    from storage.attempts import Claim

Epoch = Mapping[str, Any]
"""One epoch's results, JSON-able; ``epoch`` counts from 1."""


@retried
def record_epochs(database: Database, claim: "Claim", results: Sequence[Epoch]) -> None:
    """Keep epochs of a running attempt; known ones stay, and an attempt that was taken over writes none."""
    with database.write(durable=False) as connection:
        if hold(connection, claim.token):
            add_epochs(connection, claim, results)


def add_epochs(connection: Connection, claim: "Claim", results: Iterable[Epoch]) -> None:
    """Keep epochs, inside a transaction that holds the attempt."""
    trial = {"trial_id": claim.trial_id, "study_id": claim.study_id}
    rows = [trial | {"epoch": int(result["epoch"]), "result": json.dumps(result)} for result in results]
    upsert(connection, EPOCHS, rows, key=("trial_id", "epoch"), change=())


@retried
def read_epochs(database: Database, trial_ids: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    """The epochs of trials in order, by the trial's id; trials without any are left out."""
    found: dict[int, list[dict[str, Any]]] = {}
    with database.read() as connection:
        for start in range(0, len(trial_ids), MOST_IDS):
            some = trial_ids[start : start + MOST_IDS]
            rows = select(EPOCHS.c.trial_id, EPOCHS.c.result).where(EPOCHS.c.trial_id.in_(some))
            for trial_id, result in connection.execute(rows.order_by(EPOCHS.c.trial_id, EPOCHS.c.epoch)):
                found.setdefault(trial_id, []).append(json.loads(result))
    return found
