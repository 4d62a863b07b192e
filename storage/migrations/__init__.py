"""How our tables came to be, one Alembic revision after the other; Optuna's tables have a history of their own.

A revision's file in `versions` is never changed once it is released, and takes nothing from `storage.tables`. Each of
its steps does only what is missing: MariaDB commits after every step, so a revision that was cut there runs again.
"""
