"""Insert a row, or change the one that has its key, in one statement on every database."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import mysql, postgresql, sqlite


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    key: Sequence[str],
    change: Sequence[str],
) -> None:
    """Insert rows; where one with the same key exists, set its `change` columns instead (none: leave it).

    Args:
        connection: Inside a transaction.
        table: With a unique constraint on `key`.
        rows: All with the same columns; an empty sequence does nothing.
        key: Columns of the constraint.
        change: Columns to set.
    """
    if not rows:
        return
    name = connection.dialect.name
    if name in ("mysql", "mariadb"):
        inserted = mysql.insert(table)
        # MariaDB has no "do nothing": setting a key column to itself is that.
        new = {column: inserted.inserted[column] for column in change} or {key[0]: table.c[key[0]]}
        connection.execute(inserted.on_duplicate_key_update(new), list(rows))
        return
    statement = (sqlite.insert if name == "sqlite" else postgresql.insert)(table)
    if change:
        changed = statement.on_conflict_do_update(
            index_elements=list(key), set_={column: statement.excluded[column] for column in change}
        )
    else:
        changed = statement.on_conflict_do_nothing(index_elements=list(key))
    connection.execute(changed, list(rows))


def insert_from(dialect: str, table: Table, columns: Sequence[str], source: Any, *, key: Sequence[str]) -> Any:
    """The statement that inserts what is selected, but for rows whose key is there already."""
    if dialect in ("mysql", "mariadb"):
        return mysql.insert(table).prefix_with("IGNORE").from_select(columns, source)
    made = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(table).from_select(columns, source)
    return made.on_conflict_do_nothing(index_elements=list(key))
