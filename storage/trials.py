"""Optuna's storage on our database: what samplers, pruners and the dashboard read and write."""

import optuna

from storage._schema import ensure_tables
from storage.database import Database
from storage.trial_storage import TrialStorage

__all__ = ["PATIENCE_S", "open_storage", "quiet_optuna"]

PATIENCE_S = 60.0
"""How long a call is tried while the database is away, unless the caller says otherwise."""


def open_storage(url: str, *, patience_s: float = PATIENCE_S) -> TrialStorage:
    """Open (and on first use create) Optuna's tables and ours in the database.

    Safe to call from several processes at once. The result is any Optuna program's `storage`; stock Optuna may read and
    write the same database meanwhile.

    Args:
        url: Of an SQLite file, a PostgreSQL or a MariaDB database.
        patience_s: How long later calls are tried while the database is away; this one fails at once.

    Raises:
        DatabaseError: The URL is wrong, or the database cannot be reached.
        SchemaError: The database belongs to another version of Optuna.
    """
    database = Database(url)
    try:
        ensure_tables(database)
    finally:
        database.close()
    return TrialStorage(Database(url, patience_s=patience_s))


def quiet_optuna() -> None:
    """Silence Optuna's own log lines: a trial's outcome is logged once, by the agent."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
