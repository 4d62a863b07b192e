"""When a worker writes down the state of its training, and where."""

import logging
import time
from collections.abc import Container
from typing import Any

from storage.files import join, read_file, write_file
from study._training import TrialRun

logger = logging.getLogger(__name__)

LEAST_S = 30.0
"""Seconds between two checkpoints at least."""
COST = 50.0
"""Writing one may take one part in so many of the time."""


class Checkpoints:
    """The checkpoints of one attempt, in its own folder: no two attempts share a file."""

    def __init__(self, run: TrialRun, folder: str, rungs: Container[int]) -> None:
        """Prepare; nothing is written yet.

        Args:
            run: The attempt.
            folder: Its own.
            rungs: Epochs after which one is always written, if the trial goes on.
        """
        self._run, self._folder, self._rungs = run, folder, rungs
        self._since, self._cost_s = time.monotonic(), 0.0

    def read(self, place: str | None) -> dict[str, Any] | None:
        """An earlier attempt's state; None without one, or where it cannot be used: the trial begins anew then."""
        if place is None:
            return None
        try:
            return self._run.state_of(read_file(place))
        except Exception as error:  # a file system of any kind, a file that is cut short
            reason = str(error).partition("\n")[0]
            logger.warning("checkpoint %s cannot be used (%s): the trial begins at its first epoch", place, reason)
            return None

    def write_if_due(self) -> str | None:
        """Write one after an epoch at a rung, or if the last is long enough ago; its place, or None."""
        trainer = self._run.trainer
        long_ago = time.monotonic() - self._since >= max(LEAST_S, COST * self._cost_s)
        due = long_ago or trainer.epoch in self._rungs
        return self._write() if due and not trainer.finished else None

    def last_one(self) -> str | None:
        """Write one at a batch boundary before the trial is dropped; its place, or None if there is nothing to keep."""
        return self._write() if self._run.begun else None

    def _write(self) -> str | None:
        """A full disk must not cost the trial: without this checkpoint it goes on from the one before."""
        trainer = self._run.trainer
        place = join(self._folder, f"epoch-{trainer.epoch}-step-{trainer.step}.pt")
        began = time.monotonic()
        try:
            write_file(place, self._run.checkpoint())
        except Exception as error:  # a file system of any kind
            logger.warning("checkpoint %s cannot be written: %s", place, error)
            return None
        self._since, self._cost_s = time.monotonic(), time.monotonic() - began
        return place
