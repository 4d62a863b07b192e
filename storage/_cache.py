"""A study's trials in memory: finished ones are read once, the others again each time."""

import copy
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, or_, select

from storage import _optuna
from storage._rows import MOST_IDS, read_courses, read_trials


@dataclass
class StudyCache:
    """What is known of one study's trials. One thread at a time may use it.

    Attributes:
        by_id: Every trial read so far.
        open_ids: Those that were not finished when last read.
    """

    study_id: int
    by_id: dict[int, FrozenTrial] = field(default_factory=dict)
    open_ids: set[int] = field(default_factory=set)

    def sync(self, connection: Connection) -> None:
        """Read what is new: every trial the first time, later new ones and those that were not finished."""
        if not self.by_id:
            self._take(read_trials(connection, self.study_id))
            return
        self._take(read_trials(connection, self.study_id, [row.trial_id for row in self._changed(connection)]))

    def sync_curves(self, connection: Connection) -> None:
        """As `sync`, but of trials that were known and are not finished only what changes at each epoch."""
        if not self.by_id:
            self._take(read_trials(connection, self.study_id))
            return
        rows = self._changed(connection)
        ids = [row.trial_id for row in rows if row.trial_id not in self.by_id or row.state.is_finished()]
        self._take(read_trials(connection, self.study_id, ids))
        for trial_id, course in read_courses(connection, sorted(self.open_ids - set(ids))).items():
            trial = copy.copy(self.by_id[trial_id])  # somebody may still look at the former one
            trial.intermediate_values, trial._system_attrs = course.values, course.notes
            self.by_id[trial_id] = trial

    def trials(self, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        """Trials by number; those that are not finished are copies, which a reader may keep."""
        chosen = sorted(self.by_id.values(), key=lambda trial: trial.number)
        return [trial for trial in chosen if states is None or trial.state in states]

    def _changed(self, connection: Connection) -> list[Any]:
        """Id and state of the trials that are new or were not finished."""
        trials = _optuna.TRIALS.c
        statement = select(trials.trial_id, trials.state).where(trials.study_id == self.study_id)
        known, newest = sorted(self.open_ids), max(self.by_id)
        first = or_(trials.trial_id > newest, trials.trial_id.in_(known[:MOST_IDS]))
        rows: list[Any] = list(connection.execute(statement.where(first)))
        for start in range(MOST_IDS, len(known), MOST_IDS):
            rows += connection.execute(statement.where(trials.trial_id.in_(known[start : start + MOST_IDS])))
        return sorted(rows, key=lambda row: row.trial_id)

    def _take(self, trials: Iterable[FrozenTrial]) -> None:
        for trial in trials:
            self.by_id[trial._trial_id] = trial
            if trial.state.is_finished():
                self.open_ids.discard(trial._trial_id)
            else:
                self.open_ids.add(trial._trial_id)
