"""A study as it was last read: for code that looks at all trials, again and again, at no statement."""

from collections.abc import Container
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection

from storage._optuna import ENDED_IN
from storage.trial_storage import TrialStorage


class SeenStudy:
    """An Optuna storage of one study that answers from memory; what it is asked to write is written."""

    def __init__(self, storage: TrialStorage, name: str) -> None:
        """Nothing but the study itself is read yet.

        Raises:
            KeyError: There is no study of that name.
        """
        self._storage, self._name = storage, name
        self._study_id = storage.get_study_id_from_name(name)
        # Pruners know one objective; what trials report is the first one's value.
        self._directions = storage.get_study_directions(self._study_id)[:1]

    def read(self, connection: Connection) -> None:
        """Read what is new of the study's states and curves: three statements, and more where trials begin or end."""
        self._storage.read_curves(connection, self._study_id)

    def get_study_id_from_name(self, study_name: str) -> int:
        """See `optuna.storages.BaseStorage`."""
        return self._study_id

    def get_study_name_from_id(self, study_id: int) -> str:
        """See `optuna.storages.BaseStorage`."""
        return self._name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """See `optuna.storages.BaseStorage`."""
        return self._directions

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """See `optuna.storages.BaseStorage`; as last read, without those that ended in an older study."""
        seen = self._storage.seen_trials(study_id, deepcopy=deepcopy, states=states)
        return [trial for trial in seen if ENDED_IN not in trial.user_attrs]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """See `optuna.storages.BaseStorage`; as last read."""
        return self._storage.seen_trial(self._study_id, trial_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)
