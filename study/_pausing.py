"""Which trials wait at a rung of the halving, and which of them go on or are given up.

A trial that halving would stop may still turn out to be among the best third of its rung, when enough worse ones have
come after it. It waits with its checkpoint, and goes on with the same bits when it is promoted.
"""

import math

from sqlalchemy import Connection

from storage._rungs import RungReader
from storage.attempts import Claim
from storage.pausing import PausedTrial, count_workers, read_paused
from study._halving import Halving

PER_WORKER = 2
"""Trials of a rung that wait, for each worker of the study; those below them would hardly be promoted."""


class Pausing:
    """Of one study, from what has been read last.

    Attributes:
        left: Trials that may still be started, or None for no limit.
    """

    left: int | None = None

    def __init__(self, halving: Halving, reader: RungReader, study_id: int) -> None:
        self._halving, self._reader, self._study_id = halving, reader, study_id
        self._waiting: list[PausedTrial] = []
        self._workers = 1

    @property
    def waiting(self) -> list[PausedTrial]:
        """The trials that wait, as read last."""
        return self._waiting

    def read(self, connection: Connection) -> None:
        """Read how the rungs stand, and who waits."""
        self._reader.read(connection)
        self._waiting = read_paused(connection, self._study_id)
        self._workers = max(1, count_workers(connection, self._study_id))

    def promotable(self) -> list[int]:
        """Ids of the trials that may go on: those at the last rung first, of a rung the best."""
        found = [trial for trial in self._waiting if not self._stops(trial, more=0)]
        return [trial.trial_id for trial in sorted(found, key=lambda t: (-t.epoch, self._better(t)))]

    def keeps(self, claim: Claim, epoch: int, value: float) -> bool:
        """Whether a trial that is stopped at this rung shall wait."""
        trial = PausedTrial(claim.trial_id, claim.number, epoch, value)
        return not math.isnan(value) and trial.trial_id in self._kept([*self._waiting, trial], epoch)

    def surplus(self) -> list[int]:
        """Ids of the trials that need not wait any more."""
        rungs = {trial.epoch for trial in self._waiting}
        kept = {trial_id for rung in rungs for trial_id in self._kept(self._waiting, rung)}
        return [trial.trial_id for trial in self._waiting if trial.trial_id not in kept]

    def _kept(self, waiting: list[PausedTrial], rung: int) -> list[int]:
        here = sorted((trial for trial in waiting if trial.epoch == rung), key=self._better)
        hopeful = [t.trial_id for t in here if self.left is None or not self._stops(t, more=self.left)]
        return hopeful[: PER_WORKER * self._workers]

    def _stops(self, trial: PausedTrial, *, more: int) -> bool:
        """Whether halving would still stop it if so many more trials had come to its rung, all of them worse."""
        others = self._reader.standing(trial.epoch, trial.trial_id, trial.value).others
        return self._halving.stops(trial.value, others + more, self._better(trial))

    def _better(self, trial: PausedTrial) -> int:
        standing = self._reader.standing(trial.epoch, trial.trial_id, trial.value)
        return standing.higher if self._halving.direction == "maximize" else standing.lower
