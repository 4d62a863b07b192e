"""What an agent does with what its workers say, and with their deaths."""

import logging
from collections.abc import Iterable
from typing import Any

from objectives._fit_settings import EpochResult
from storage.attempts import Claim
from storage.endings import Ending
from study._child import Worker
from study._ledger import Ledger
from study._messages import Begun, Checkpointed, Done, Failed, HandedBack, Order, Progress, Ready
from study._outcomes import crashed, ending_of, stalled, timed_out
from study._pool import Pool

logger = logging.getLogger(__name__)


class Crew:
    """Listens to a pool's workers and writes what they have done into the ledger.

    Attributes:
        ending: Whether workers that die are not replaced any more.
    """

    def __init__(self, pool: Pool, ledger: Ledger) -> None:
        self._pool, self._ledger = pool, ledger
        self.ending = False

    def listen(self, timeout_s: float, also: Iterable[Any]) -> None:
        """Wait for the workers, or for one of `also`, and deal with what has happened.

        Raises:
            ForkserverLost, WorkersUnusable: As `Pool.replace`.
        """
        for ready in self._pool.wait(timeout_s, also):
            if not isinstance(ready, Worker):
                continue
            message = ready.receive()
            if message is not None:
                self._said(ready, message)
            elif self._pool.died(ready):
                self._died(ready)

    def end_overdue(self) -> None:
        """Kill workers whose trial takes too long, or that are frozen.

        Raises:
            ForkserverLost, WorkersUnusable: As `Pool.replace`.
        """
        self._pool.attend()
        limit = self._ledger.stored.config.budget.trial_timeout
        for worker in self._pool.overdue():
            worker.kill()
            if worker.holder is not None and not worker.warm:
                worker.holder.end()  # it is what the worker has waited for
            self._lost(worker, timed_out(limit or 0.0, worker.device))
        for worker in self._pool.stalled():
            worker.kill()
            self._lost(worker, stalled(self._pool.stall_s or 0.0, worker.device))

    def drop_all(self) -> None:
        """Kill every worker that has a trial in hand, and hand the trial back."""
        for worker in self._pool.workers:
            if worker.claim is not None:
                worker.kill()
                self._ledger.hand_back(worker.claim)
                worker.drop()

    def _said(self, worker: Worker, message: object) -> None:
        if isinstance(message, Ready):
            self._pool.greet(worker, message)
        elif isinstance(message, Begun):
            worker.begun = True
        elif worker.claim is not None and isinstance(message, Checkpointed):
            self._ledger.checkpoint(worker.claim, message.place)
        elif worker.claim is not None and isinstance(message, EpochResult):
            order = Order.HAND_BACK if worker.handing_back else self._ledger.epoch(worker.claim, message)
            worker.handing_back = order is Order.HAND_BACK
            worker.send(order)
        elif isinstance(message, Failed) and message.broken and worker.orphaned:
            self._lost(worker, None)
        elif worker.claim is not None and not isinstance(message, Progress):
            self._ended(worker, worker.claim, message)
            worker.drop()
            if isinstance(message, Failed) and message.broken:
                self._pool.replace(worker)

    def _ended(self, worker: Worker, claim: Claim, message: object) -> None:
        if isinstance(message, HandedBack):
            self._ledger.hand_back(claim, message.checkpoint)
        elif isinstance(message, Done | Failed):
            ending = ending_of(message, worker.device, weights=self._ledger.weights(claim), token=claim.token)
            if isinstance(message, Done) and message.checkpoint is not None:
                self._ledger.pause(claim, message.checkpoint, ending)
            else:
                self._ledger.end(claim, ending)

    def _died(self, worker: Worker) -> None:
        if worker.orphaned:
            self._lost(worker, None)
            return
        if worker.claim is None or not worker.begun:
            logger.warning("idle worker %d ended (exit status %s)", worker.slot, worker.process.exitcode)
        self._lost(worker, crashed(worker.process.exitcode, worker.device))

    def _lost(self, worker: Worker, ending: Ending | None) -> None:
        """Replace a worker that is gone; its trial ends so, or was not its fault: without ending, or not reached."""
        if worker.claim is not None and worker.begun and ending is not None:
            self._ledger.end(worker.claim, ending)
        elif worker.claim is not None:
            self._ledger.hand_back(worker.claim)
        worker.drop()
        if self.ending:
            self._pool.remove(worker)
        else:
            self._pool.replace(worker)
