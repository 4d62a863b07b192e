"""Values that a study's trials reported at certain epochs, read as they come."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, String, bindparam, exists, select, type_coerce

from storage import _optuna
from storage._rows import MOST_IDS

MARGIN = 1000
"""Rows that are read again: ids are given out before the commit, so a lower one may appear after a higher one."""


@dataclass(frozen=True)
class Standing:
    """Where a value stands at a rung.

    Attributes:
        others: Other trials that have reached it.
        higher, lower: How many of them stand above it, or below; between equal values lots decide.
    """

    others: int
    higher: int
    lower: int


@dataclass
class Rung:
    """Of one epoch: the trials that have reached it, and their values but NaN in order."""

    trials: set[int] = field(default_factory=set)
    ordered: list[tuple[float, int]] = field(default_factory=list)

    def add(self, trial_id: int, value: float) -> None:
        """A trial has reached it; what was added before stays."""
        if trial_id not in self.trials:
            self.trials.add(trial_id)
            if value == value:
                insort(self.ordered, (value, _lot(trial_id)))

    def standing(self, trial_id: int, value: float) -> Standing:
        """Where a trial's value, which need not have been added yet, stands among all others."""
        ordered, place = self.ordered, (value, _lot(trial_id))
        higher, lower = len(ordered) - bisect_right(ordered, place), bisect_left(ordered, place)
        return Standing(len(self.trials) - (trial_id in self.trials), higher, lower)


def _lot(trial_id: int) -> int:
    """A number that every agent knows of a trial, and that does not favour the early ones.

    Source: multiplicative hashing, D. Knuth, The Art of Computer Programming, volume 3, section 6.4.
    """
    return trial_id * 2654435761 % 2**32


class RungReader:
    """Reads what is new at each call, so its cost does not grow with the study."""

    def __init__(self, study_id: int, rungs: Sequence[int]) -> None:
        """Watch these epochs of one study's trials."""
        self._study_id = study_id
        self._rungs = {rung: Rung() for rung in rungs}
        self._last = 0
        self._mine: dict[int, bool] = {}

    def read(self, connection: Connection) -> None:
        """Read new values: one statement, and another where trials appear that were not known."""
        given = {"after": self._last - MARGIN, "rungs": list(self._rungs)}
        rows: list[Any] = list(connection.execute(_values(), given))
        self._learn(connection, {row.trial_id for row in rows if row.trial_id not in self._mine})
        for identity, trial_id, step, value, kind in rows:
            self._last = max(self._last, identity)
            if self._mine[trial_id]:
                self._rungs[step].add(trial_id, _optuna.decoded(value, kind))

    def standing(self, epoch: int, trial_id: int, value: float) -> Standing:
        """Where a trial's value, which need not have been read yet, stands among all others at this epoch."""
        return self._rungs[epoch].standing(trial_id, value)

    def _learn(self, connection: Connection, ids: set[int]) -> None:
        """Find out which of these trials the study trains itself; a join would start from all of its trials."""
        ordered = sorted(ids)
        for start in range(0, len(ordered), MOST_IDS):
            some = ordered[start : start + MOST_IDS]
            found = set(connection.scalars(_of_study(), {"ids": some, "study": self._study_id}))
            self._mine |= {trial_id: trial_id in found for trial_id in some}


@lru_cache
def _values() -> Any:
    table = _optuna.INTERMEDIATE_VALUES.c
    key = table.trial_intermediate_value_id
    kind = type_coerce(table.intermediate_value_type, String)
    wanted = (key > bindparam("after")) & table.step.in_(bindparam("rungs", expanding=True))
    return select(key, table.trial_id, table.step, table.intermediate_value, kind).where(wanted)


@lru_cache
def _of_study() -> Any:
    trials, attributes = _optuna.TRIALS.c, _optuna.TRIAL_USER_ATTRIBUTES.c
    elsewhere = exists().where(attributes.trial_id == trials.trial_id, attributes.key == _optuna.ENDED_IN)
    mine = (trials.study_id == bindparam("study")) & ~elsewhere
    return select(trials.trial_id).where(trials.trial_id.in_(bindparam("ids", expanding=True)), mine)
