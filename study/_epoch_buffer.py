"""The results of epochs on their way to the database: written together, so that short epochs cost no statement each."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from storage.attempts import Claim
from storage.database import Database
from storage.epochs import record_epochs

EVERY_S = 2.0
"""Seconds between two writes of one trial; people who watch it see it no sooner."""


@dataclass
class _Course:
    claim: Claim
    epochs: list[Mapping[str, Any]] = field(default_factory=list)
    written: int = 0
    at: float = field(default_factory=time.monotonic)


class EpochBuffer:
    """Epochs of the attempts that an agent has in hand."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._courses: dict[str, _Course] = {}

    def add(self, claim: Claim, epoch: Mapping[str, Any]) -> None:
        """Keep an epoch's result; nothing is written yet."""
        self._courses.setdefault(claim.token, _Course(claim)).epochs.append(epoch)

    def all(self, claim: Claim) -> Sequence[Mapping[str, Any]]:
        """Those that this attempt has trained."""
        course = self._courses.get(claim.token)
        return course.epochs if course else ()

    def left(self, claim: Claim) -> Sequence[Mapping[str, Any]]:
        """Those that are not written yet."""
        course = self._courses.get(claim.token)
        return course.epochs[course.written :] if course else ()

    def write_due(self) -> None:
        """Write what has waited long enough."""
        now = time.monotonic()
        for course in list(self._courses.values()):
            if now - course.at >= EVERY_S:
                self.write(course.claim)

    def write(self, claim: Claim) -> None:
        """Write what is left of an attempt."""
        course, left = self._courses.get(claim.token), self.left(claim)
        if course is not None and left:
            record_epochs(self._database, claim, left)
            self.mark_written(claim)

    def mark_written(self, claim: Claim) -> None:
        """Take note that `left` has been written."""
        course = self._courses.get(claim.token)
        if course is not None:
            course.written, course.at = len(course.epochs), time.monotonic()

    def drop(self, claim: Claim) -> None:
        """Forget an attempt."""
        self._courses.pop(claim.token, None)
