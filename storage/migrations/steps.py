"""The steps that revisions are made of; each does only what is missing."""

from collections.abc import Sequence

from alembic import op
from sqlalchemy import Column, inspect
from sqlalchemy.schema import SchemaItem


def create_table(name: str, *parts: SchemaItem) -> None:
    """Create a table, on MariaDB one with transactions and all of Unicode."""
    if not inspect(op.get_bind()).has_table(name):
        op.create_table(name, *parts, mysql_engine="InnoDB", mysql_charset="utf8mb4")


def create_index(name: str, table: str, columns: Sequence[str]) -> None:
    """Create an index."""
    known = inspect(op.get_bind()).get_indexes(table)
    if name not in [index["name"] for index in known]:
        op.create_index(name, table, columns)


def add_column(table: str, column: Column[object]) -> None:
    """Add a column, which rows that exist must be able to do without."""
    known = inspect(op.get_bind()).get_columns(table)
    if column.name not in [found["name"] for found in known]:
        op.add_column(table, column)


def create_trigger(statement: str) -> None:
    """Create a trigger on SQLite; elsewhere foreign keys do its work.

    Args:
        statement: Begins with ``CREATE TRIGGER IF NOT EXISTS``.
    """
    if op.get_bind().dialect.name == "sqlite":
        op.execute(statement)
