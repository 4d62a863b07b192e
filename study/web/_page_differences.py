"""In what trials differ: rows of a table, the best value of each marked where one is better than another."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from objectives._task import load_task
from storage.history import TrialRow
from study.stored import StoredStudy

Difference = dict[str, Any]
SHOWN_ALREADY = ("attempts", "epochs", "seconds")
"""Attributes that say what a row of the results says."""


def differing(stored: StoredStudy, rows: Sequence[TrialRow]) -> list[Difference]:
    """Hyperparameters, results and numeric attributes that are not the same in all trials."""
    directions = _directions(stored)
    found = [
        _row("result", "state", [row.state.name for row in rows]),
        _row("result", "failure", [row.failure for row in rows]),
        _row("result", stored.metric, [row.value for row in rows], stored.direction),
        _row("result", "attempts", [row.attempts for row in rows]),
        _row("result", "last epoch", [max(row.values, default=0) for row in rows]),
        _row("result", "time (s)", [round(row.seconds, 1) for row in rows]),
    ]
    for key in _keys(row.parameters for row in rows):
        found.append(_row("hyperparameter", key, [row.parameters.get(key) for row in rows]))
    for key in _keys(row.attributes for row in rows):
        values = [row.attributes.get(key) for row in rows]
        if key not in (stored.metric, *SHOWN_ALREADY) and any(map(_is_number, values)):
            found.append(_row("attribute", key, values, directions.get(key)))
    return [row for row in found if len({repr(value) for value in row["values"]}) > 1]


def _row(kind: str, key: str, values: list[Any], direction: str | None = None) -> Difference:
    """A row; `best` holds the places of the best value."""
    numbers = [value for value in values if _is_number(value)]
    better: Callable[[list[Any]], Any] = max if direction == "maximize" else min
    best = better(numbers) if direction and numbers else None
    places = [i for i, value in enumerate(values) if best is not None and _is_number(value) and value == best]
    return {"kind": kind, "key": key, "values": values, "best": places}


def _keys(mappings: Iterable[Any]) -> list[str]:
    return sorted({key for mapping in mappings for key in mapping})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _directions(stored: StoredStudy) -> dict[str, str]:
    """Which way each metric is better; of a user's own task, whose file is not run here, only the study's metric."""
    name = stored.config.objective.name
    known: dict[str, str] = {} if ".py:" in name else dict(load_task(name, folder=stored.folder).metrics)
    ours = {each.name: each.direction for each in stored.objectives}
    return known | {"loss": "minimize", "training_loss": "minimize"} | ours
