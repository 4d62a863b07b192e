"""The epochs of a trial, as its worker has sent them."""

from typing import Any

from storage.database import Database
from storage.epochs import read_epochs


def read_history(database: Database, trial_id: int) -> list[dict[str, Any]]:
    """One mapping per epoch, as `EpochResult.to_json` with None for a metric that is undefined; empty without any."""
    return read_epochs(database, [trial_id]).get(trial_id, [])
