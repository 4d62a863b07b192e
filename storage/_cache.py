"""A study's trials in memory: finished ones are read once, the others again each time."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, or_, select

from storage import _optuna
from storage._rows import MOST_IDS, read_trials


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
        self._take(read_trials(connection, self.study_id, self._changed(connection)))

    def refresh(self, connection: Connection, ids: Iterable[int]) -> None:
        """Read these trials again."""
        self._take(read_trials(connection, self.study_id, sorted(ids)))

    def trials(self, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        """Trials by number; those that are not finished are copies, which a reader may keep."""
        chosen = sorted(self.by_id.values(), key=lambda trial: trial.number)
        return [trial for trial in chosen if states is None or trial.state in states]

    def _changed(self, connection: Connection) -> list[int]:
        trials = _optuna.TRIALS.c
        newest = max(self.by_id)
        statement = select(trials.trial_id).where(trials.study_id == self.study_id)
        if len(self.open_ids) <= MOST_IDS:
            statement = statement.where(or_(trials.trial_id > newest, trials.trial_id.in_(self.open_ids)))
            return list(connection.scalars(statement.order_by(trials.trial_id)))
        new = connection.scalars(statement.where(trials.trial_id > newest))
        return sorted({*new, *self.open_ids})

    def _take(self, trials: Iterable[FrozenTrial]) -> None:
        for trial in trials:
            self.by_id[trial._trial_id] = trial
            if trial.state.is_finished():
                self.open_ids.discard(trial._trial_id)
            else:
                self.open_ids.add(trial._trial_id)
