"""The note and the plots that optuna-dashboard keeps among a study's system attributes, written together."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select

from storage import _optuna
from storage._upsert import upsert
from storage.database import Database, retried

PIECE = 2045
"""Characters of a note or plot per attribute, as the dashboard writes and joins them."""
NOTE, NOTE_VERSION, PLOT = "dashboard:note_str:", "dashboard:note_ver", "dashboard:plot_data:"
BEGIN, END = '[studyhall begin]: # "written by its agents"', '[studyhall end]: # "write above or below"'
"""Around our part of the note; what people write outside stays. The page does not show them: Markdown takes them for
definitions of links."""


@retried
def write_board(database: Database, study_id: int, note: str, plots: Mapping[str, Any]) -> None:
    """Replace our part of the study's note, and the plots of these ids; nothing if the study was deleted.

    Args:
        note: Markdown.
        plots: Plotly's JSON by id: letters, digits, ``-``, ``_`` and ``.``; other ids stay.
    """
    studies = _optuna.STUDIES.c
    with database.write(durable=False) as connection:
        known = select(studies.study_id).where(studies.study_id == study_id).with_for_update()
        if connection.scalar(known) is None:
            return
        before = _attributes(connection, study_id)
        body = _with_ours(_joined(before, NOTE), note)
        if body != _joined(before, NOTE):
            _write(connection, study_id, before, NOTE, body)
            _set(connection, study_id, {NOTE_VERSION: int(before.get(NOTE_VERSION, 0)) + 1})
        for name, plot in plots.items():
            _write(connection, study_id, before, f"{PLOT}{name}:", json.dumps(plot, separators=(",", ":")))


def _with_ours(body: str, note: str) -> str:
    ours = f"{BEGIN}\n\n{note.strip()}\n\n{END}"
    start, end = body.find(BEGIN), body.find(END)
    if start < 0 or end < start:
        return f"{ours}\n\n{body}".rstrip()
    return body[:start] + ours + body[end + len(END) :]


def _attributes(connection: Connection, study_id: int) -> dict[str, Any]:
    table = _optuna.STUDY_SYSTEM_ATTRIBUTES
    rows = connection.execute(select(table.c.key, table.c.value_json).where(table.c.study_id == study_id))
    return {key: json.loads(text) for key, text in rows}


def _joined(attributes: Mapping[str, Any], prefix: str) -> str:
    pieces = sum(key.startswith(prefix) for key in attributes)
    return "".join(str(attributes.get(f"{prefix}{index}", "")) for index in range(pieces))


def _write(connection: Connection, study_id: int, before: Mapping[str, Any], prefix: str, text: str) -> None:
    pieces = {f"{prefix}{start // PIECE}": text[start : start + PIECE] for start in range(0, len(text), PIECE)}
    _set(connection, study_id, {key: piece for key, piece in pieces.items() if before.get(key) != piece})
    table = _optuna.STUDY_SYSTEM_ATTRIBUTES
    surplus = [key for key in before if key.startswith(prefix) and key not in pieces]
    if surplus:
        connection.execute(delete(table).where(table.c.study_id == study_id, table.c.key.in_(surplus)))


def _set(connection: Connection, study_id: int, attributes: Mapping[str, Any]) -> None:
    rows = [{"study_id": study_id, "key": key, "value_json": json.dumps(value)} for key, value in attributes.items()]
    upsert(connection, _optuna.STUDY_SYSTEM_ATTRIBUTES, rows, key=("study_id", "key"), change=("value_json",))
