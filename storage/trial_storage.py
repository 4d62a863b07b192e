"""Our Optuna storage over Optuna's own tables: bulk reads, shared distributions, patience with lost connections."""

import copy
import threading
import weakref
from collections.abc import Container, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Table, select

from storage import _optuna, _study_rows, _trial_rows
from storage._cache import Changes, Position, StudyCache
from storage._operations import new_token, once
from storage._rows import distribution, read_trials
from storage._studies_part import StudiesPart
from storage.database import Database


class TrialStorage(StudiesPart):
    """An `optuna.storages.BaseStorage`; stock Optuna may read and write the same tables meanwhile.

    Finished trials are read once and kept; calls that return trials give the others as they are now. Threads may
    share it, and it may be pickled; it does not survive a fork.
    """

    def __init__(self, database: Database) -> None:
        """Wrap a database whose tables exist; it is this storage's to close."""
        super().__init__(database)
        weakref.finalize(self, database.close)  # also when an Optuna program just drops it
        self._caches: dict[int, StudyCache] = {}
        self._study_of: dict[int, int] = {}
        self._known: dict[tuple[int, str], BaseDistribution] = {}
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        url = self._database.url.render_as_string(hide_password=False)
        return {"url": url, "patience_s": self._database.patience_s}

    def __setstate__(self, state: dict[str, Any]) -> None:
        TrialStorage.__init__(self, Database(state["url"], patience_s=state["patience_s"]))

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def delete_study(self, study_id: int) -> None:
        """See `BaseStorage`."""
        super().delete_study(study_id)
        with self._lock:
            self._caches.pop(study_id, None)
            self._known = {key: kind for key, kind in self._known.items() if key[0] != study_id}

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """See `BaseStorage`."""

        def work(connection: Connection) -> int:
            made = once(connection, token, lambda: _trial_rows.create(connection, study_id, template_trial)[0])
            return int(made)

        token = new_token()
        return self._writing(work)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """See `BaseStorage`."""

        def work(connection: Connection) -> None:
            study_id, _ = _trial_rows.require_open(connection, trial_id)
            self._check_compatible(connection, study_id, param_name, distribution)
            parameters = {param_name: (param_value_internal, distribution)}
            _trial_rows.add_parameters(connection, trial_id, parameters)

        self._writing(work)

    def _check_compatible(self, connection: Connection, study_id: int, name: str, given: BaseDistribution) -> None:
        known = self._known.get((study_id, name))
        if known is None:
            text = _trial_rows.known_distribution(connection, study_id, name)
            known = distribution(text) if text is not None else given
        check_distribution_compatibility(known, given)
        self._known[study_id, name] = known

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """See `BaseStorage`."""

        def work(connection: Connection) -> bool:
            return bool(once(connection, token, lambda: _trial_rows.set_state(connection, trial_id, state, values)))

        token = new_token()
        return self._writing(work)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """See `BaseStorage`."""

        def work(connection: Connection) -> None:
            _trial_rows.require_open(connection, trial_id)
            _trial_rows.set_intermediates(connection, trial_id, {step: intermediate_value})

        self._writing(work)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """See `BaseStorage`."""
        self._set_attribute(_optuna.TRIAL_USER_ATTRIBUTES, trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """See `BaseStorage`."""
        self._set_attribute(_optuna.TRIAL_SYSTEM_ATTRIBUTES, trial_id, key, value)

    def _set_attribute(self, table: Table, trial_id: int, key: str, value: Any) -> None:
        def work(connection: Connection) -> None:
            _trial_rows.require_open(connection, trial_id)
            _trial_rows.set_attributes(connection, table, trial_id, {key: value})

        self._writing(work)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """See `BaseStorage`."""
        with self._lock:
            cache = self._caches.get(self._study_of.get(trial_id, -1))
            known = cache.by_id.get(trial_id) if cache else None
        if known is not None and known.state.is_finished():
            return known
        found = self._reading(lambda connection: self._read_one(connection, trial_id))
        return found

    def _read_one(self, connection: Connection, trial_id: int) -> FrozenTrial:
        trials = _optuna.TRIALS.c
        study_id = connection.scalar(select(trials.study_id).where(trials.trial_id == trial_id))
        found = read_trials(connection, study_id, [trial_id]) if study_id is not None else []
        if not found:
            raise KeyError(f"no trial with id {trial_id}")
        return found[0]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """See `BaseStorage`."""
        with self._lock:
            trials = self._reading(lambda connection: self._synced(connection, study_id).trials(states))
        return copy.deepcopy(trials) if deepcopy else trials

    def read_curves(self, connection: Connection, study_id: int) -> None:
        """Read states and reported values, inside a transaction, for `seen_trials`."""
        with self._lock:
            self._caches.setdefault(study_id, StudyCache(study_id)).sync_curves(connection)

    def seen_trials(self, study_id: int, *, deepcopy: bool, states: Container[TrialState] | None) -> list[FrozenTrial]:
        """All trials as last read, without a statement; of running ones parameters and attributes may be missing."""
        with self._lock:
            trials = self._caches[study_id].trials(states)
        return copy.deepcopy(trials) if deepcopy else trials

    def seen_trial(self, study_id: int, trial_id: int) -> FrozenTrial:
        """One trial as last read."""
        with self._lock:
            return self._caches[study_id].by_id[trial_id]

    def read_changes(self, connection: Connection, study_id: int, since: Position | None) -> Changes:
        """Read, inside a transaction, what is new in a study, without a copy or a look at each trial.

        Args:
            connection: Inside a transaction.
            study_id: Of the study.
            since: The position of the changes that were read before; None the first time.

        Raises:
            KeyError: There is no such study.
        """
        with self._lock:
            return self._synced(connection, study_id).changes(since)

    def _synced(self, connection: Connection, study_id: int) -> StudyCache:
        _study_rows.require(connection, study_id)
        cache = self._caches.setdefault(study_id, StudyCache(study_id))
        cache.sync(connection)
        for trial_id in cache.by_id.keys() - self._study_of.keys():
            self._study_of[trial_id] = study_id
        return cache

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """See `BaseStorage`."""
        trials = _optuna.TRIALS.c
        chosen = select(trials.trial_id).where(trials.study_id == study_id, trials.number == trial_number)
        trial_id = self._reading(lambda connection: connection.scalar(chosen))
        if trial_id is None:
            raise KeyError(f"no trial with number {trial_number} in the study with id {study_id}")
        return int(trial_id)
