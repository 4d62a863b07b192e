"""One trial, or several beside each other, as the page's JSON."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from storage.database import Database
from storage.endings import Artifact
from storage.epochs import read_epochs
from storage.errors import StudyMissing
from storage.history import TrialRow, read_trials
from storage.trial_details import AttemptRow, find_trials, list_artifacts, list_attempts
from study.stored import StoredStudy
from study.web._page_differences import differing
from study.web._page_http import NotAnswerable
from study.web._page_study import reason, seconds_of

MOST_COMPARED = 20


def trial_page(database: Database, stored: StoredStudy, number: int, since: str | None) -> dict[str, Any] | None:
    """A trial with its epochs and attempts; None if all that is as in the version.

    Raises:
        StudyMissing: There is no such trial.
    """
    (row,) = _rows(database, stored, [number])
    attempts = list_attempts(database, row.trial_id)
    tree = {
        "study": _study(stored),
        "trial": _trial(row) | {"message": row.message, "reason": reason(row)},
        "epochs": read_epochs(database, [row.trial_id]).get(row.trial_id, []),
        "attempts": [_attempt(attempt) for attempt in attempts],
        "artifacts": [_artifact(stored, row, artifact) for artifact in list_artifacts(database, row.trial_id)],
    }
    version = hashlib.blake2b(json.dumps(tree, default=str).encode(), digest_size=12).hexdigest()
    return None if version == since else tree | {"version": version}


def compared(database: Database, stored: StoredStudy, numbers: Sequence[int]) -> dict[str, Any]:
    """Trials beside each other: what differs, and their curves.

    Raises:
        StudyMissing: One of them does not exist.
        NotAnswerable: There are fewer than two, or too many.
    """
    chosen = list(dict.fromkeys(numbers))
    if not 2 <= len(chosen) <= MOST_COMPARED:
        raise NotAnswerable(f"{len(chosen)} trials are given; 2 to {MOST_COMPARED} can be compared: ?trials=3,17,20")
    rows = _rows(database, stored, chosen)
    epochs = read_epochs(database, [row.trial_id for row in rows])
    return {
        "study": _study(stored),
        "trials": [_trial(row) | {"epochs": epochs.get(row.trial_id, [])} for row in rows],
        "differences": differing(stored, rows),
    }


def _rows(database: Database, stored: StoredStudy, numbers: Sequence[int]) -> list[TrialRow]:
    """In the order given."""
    ids = find_trials(database, stored.study_id, numbers)
    by_number = {row.number: row for row in read_trials(database, stored.study_id, list(ids.values()))}
    missing = [str(number) for number in numbers if number not in by_number]
    if missing:
        raise StudyMissing(f"the study {stored.name!r} has no trial {', '.join(missing)}")
    return [by_number[number] for number in numbers]


def _study(stored: StoredStudy) -> dict[str, Any]:
    return {
        "name": stored.name,
        "study_id": stored.study_id,
        "metric": stored.metric,
        "direction": stored.direction,
        "objectives": [dataclasses.asdict(objective) for objective in stored.objectives],
        "epochs": stored.config.training.epochs,
    }


def _trial(row: TrialRow) -> dict[str, Any]:
    return {
        "number": row.number,
        "trial_id": row.trial_id,
        "state": row.state.name,
        "running": not row.settled,
        "ours": row.ours,
        "value": row.value,
        "all_values": list(row.all_values),
        "failure": row.failure,
        "attempts": row.attempts,
        "seconds": row.seconds if row.settled else None,
        "started_at": seconds_of(row.started_at),
        "ended_at": seconds_of(row.ended_at),
        "parameters": dict(row.parameters),
        "attributes": dict(row.attributes),
        "values": [[epoch, value] for epoch, value in row.values.items()],
    }


def _attempt(attempt: AttemptRow) -> Mapping[str, Any]:
    tree = dataclasses.asdict(attempt)
    tree |= {"started_at": seconds_of(attempt.started_at), "ended_at": seconds_of(attempt.ended_at)}
    return tree | {"seconds": None if attempt.ended_at is None else attempt.seconds}


def _artifact(stored: StoredStudy, row: TrialRow, artifact: Artifact) -> dict[str, Any]:
    """With where the stock dashboard serves it, from the site's root."""
    place = f"artifacts/{stored.study_id}/{row.trial_id}/{artifact.artifact_id}"
    return dataclasses.asdict(artifact) | {"path": place}
