"""Optuna's storage on our database: what samplers, pruners and the dashboard read and write."""

import optuna
from optuna.storages import BaseStorage

from storage._optuna import cached_storage, close_storage
from storage._schema import ensure_tables
from storage.database import Database

__all__ = ["close_storage", "open_storage", "quiet_optuna"]


def open_storage(url: str) -> BaseStorage:
    """Open (and on first use create) Optuna's tables and ours in the database.

    Safe to call from several processes at once. The result is any Optuna program's `storage`.

    Raises:
        DatabaseError: The URL is wrong, or the database cannot be reached.
        SchemaError: The database belongs to another version of Optuna.
    """
    database = Database(url)
    try:
        ensure_tables(database)
        return cached_storage(database.url)
    finally:
        database.close()


def quiet_optuna() -> None:
    """Silence Optuna's own log lines: a trial's outcome is logged once, by the agent."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
