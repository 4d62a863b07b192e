"""A study's trials in memory: finished ones are read once, the others again each time."""

import copy
import uuid
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, or_, select

from storage import _optuna
from storage._rows import MOST_IDS, read_courses, read_trials


@dataclass(frozen=True)
class Position:
    """How far a reader has come; one of another history is worth nothing."""

    history: uuid.UUID
    finished: int


@dataclass(frozen=True)
class Changes:
    """What has changed in a study since a reader's position. The trials are the cache's own: only look at them.

    Attributes:
        position: To be given the next time.
        afresh: Whether the reader must forget what it knows: it knew nothing, or the study is another one now.
        finished: Trials that have finished since then.
        open: All trials that are not finished.
    """

    position: Position
    afresh: bool
    finished: list[FrozenTrial]
    open: list[FrozenTrial]


@dataclass
class StudyCache:
    """What is known of one study's trials. One thread at a time may use it.

    SQLite gives the ids of a deleted study and its trials to the next one: when a known trial is not in the database as
    it was known, everything is read again.

    Attributes:
        by_id: Every trial read so far.
        open_ids: Those that were not finished when last read.
        finished_ids: The others, in the order in which they were seen to be.
        history: Changes when what was known is forgotten.
    """

    study_id: int
    by_id: dict[int, FrozenTrial] = field(default_factory=dict)
    open_ids: set[int] = field(default_factory=set)
    finished_ids: list[int] = field(default_factory=list)
    history: uuid.UUID = field(default_factory=uuid.uuid4)

    def sync(self, connection: Connection) -> None:
        """Read what is new: every trial the first time, later new ones and those that were not finished."""
        rows = self._changed(connection) if self.by_id else None
        ids = None if rows is None else [row.trial_id for row in rows]
        self._take(read_trials(connection, self.study_id, ids))

    def changes(self, since: Position | None) -> Changes:
        """What has changed since a position, as last read; None stands for the beginning."""
        afresh = since is None or since.history != self.history
        start = 0 if since is None or afresh else since.finished
        return Changes(
            Position(self.history, len(self.finished_ids)),
            afresh,
            [self.by_id[trial_id] for trial_id in self.finished_ids[start:]],
            [self.by_id[trial_id] for trial_id in self.open_ids],
        )

    def sync_curves(self, connection: Connection) -> None:
        """As `sync`, but of trials that were known and are not finished only what changes at each epoch."""
        rows = self._changed(connection) if self.by_id else None
        if rows is None:
            self._take(read_trials(connection, self.study_id))
            return
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

    def _changed(self, connection: Connection) -> list[Any] | None:
        """The trials that are new or were not finished; None, with nothing known, if all must be read."""
        trials = _optuna.TRIALS.c
        columns = select(trials.trial_id, trials.state, trials.datetime_complete)
        statement = columns.where(trials.study_id == self.study_id)
        known, newest = sorted(self.open_ids), max(self.by_id)
        witness = self.finished_ids[-1:]
        first = or_(trials.trial_id > newest, trials.trial_id.in_(known[:MOST_IDS] + witness))
        rows: list[Any] = list(connection.execute(statement.where(first)))
        for start in range(MOST_IDS, len(known), MOST_IDS):
            rows += connection.execute(statement.where(trials.trial_id.in_(known[start : start + MOST_IDS])))
        if not self._recognised(rows, witness):
            self._forget()
            return None
        return sorted((row for row in rows if row.trial_id not in witness), key=lambda row: row.trial_id)

    def _recognised(self, rows: list[Any], witness: list[int]) -> bool:
        """Whether the trials that were known are still there, and the one that finished last is as it was."""
        found = {row.trial_id: row for row in rows}
        if not self.open_ids <= found.keys():
            return False
        for trial_id in witness:
            row, trial = found.get(trial_id), self.by_id[trial_id]
            if row is None or (row.state, row.datetime_complete) != (trial.state, _optuna.utc(trial.datetime_complete)):
                return False
        return True

    def _forget(self) -> None:
        self.by_id.clear()
        self.open_ids.clear()
        self.finished_ids.clear()
        self.history = uuid.uuid4()

    def _take(self, trials: Iterable[FrozenTrial]) -> None:
        for trial in trials:
            self.by_id[trial._trial_id] = trial
            if trial.state.is_finished():
                self.open_ids.discard(trial._trial_id)
                self.finished_ids.append(trial._trial_id)
            else:
                self.open_ids.add(trial._trial_id)
