"""Values that a study's trials reported at certain epochs, read as they come."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import Connection, String, select, type_coerce

from storage import _optuna

MARGIN = 1000
"""Rows that are read again: ids are given out before the commit, so a lower one may appear after a higher one."""


class RungReader:
    """Reads what is new at each call, so its cost does not grow with the study."""

    def __init__(self, study_id: int, rungs: Sequence[int]) -> None:
        """Watch these epochs of one study's trials."""
        self._study_id = study_id
        self._rungs = tuple(rungs)
        self._last = 0
        self._values: dict[int, dict[int, float]] = defaultdict(dict)

    def read(self, connection: Connection) -> None:
        """Read new values, in one statement."""
        table, trials = _optuna.INTERMEDIATE_VALUES.c, _optuna.TRIALS.c
        key = table.trial_intermediate_value_id
        rows = connection.execute(
            select(
                key,
                table.trial_id,
                table.step,
                table.intermediate_value,
                type_coerce(table.intermediate_value_type, String),
            )
            .join(_optuna.TRIALS, trials.trial_id == table.trial_id)
            .where(trials.study_id == self._study_id, key > self._last - MARGIN, table.step.in_(self._rungs))
        )
        for identity, trial_id, step, value, kind in rows:
            self._last = max(self._last, identity)
            self._values[step][trial_id] = _optuna.decoded(value, kind)

    def others(self, epoch: int, trial_id: int) -> list[float]:
        """What all other trials reported at this epoch."""
        return [value for other, value in self._values[epoch].items() if other != trial_id]
