"""What an agent does with what its workers say, and with their deaths."""

import logging
from collections.abc import Iterable
from typing import Any

from objectives._fit_settings import EpochResult
from storage.agents import WorkerSeen
from storage.attempts import Claim
from storage.endings import Ending
from study._child import Worker
from study._forkserver import DeviceUnusable, WorkersUnusable
from study._ledger import Ledger
from study._messages import Begun, Checkpointed, Done, Failed, HandedBack, Order, Peak, Progress, Ready
from study._monitor import Monitor
from study._outcomes import crashed, ending_of, stalled, timed_out
from study._packer import Packer
from study._pool import Pool
from study._quarantine import Quarantine

logger = logging.getLogger(__name__)


class Crew:
    """Listens to a pool's workers and writes what they have done into the ledger.

    Attributes:
        ending: Whether workers that die are not replaced any more.
        quarantine: Devices that are out of service.
    """

    def __init__(
        self, pool: Pool, ledger: Ledger, monitor: Monitor | None = None, packer: Packer | None = None
    ) -> None:
        """Know them; without a monitor nothing is asked about GPUs, without a packer the workers stay as they are."""
        self._pool, self._ledger = pool, ledger
        self._monitor = monitor or Monitor(())
        self._packer = packer or Packer(pool, (), 1, self._monitor)
        self._removed: list[WorkerSeen] = []
        self.quarantine = Quarantine(pool.devices)
        self.ending = False

    def seen(self) -> list[WorkerSeen]:
        """What there is to see of the workers, also of those whose device is out of service."""
        workers = [worker.seen(self._monitor.reading(worker.device)) for worker in self._pool.workers]
        return [*workers, *self._removed]

    def listen(self, timeout_s: float, also: Iterable[Any]) -> None:
        """Wait for the workers, or for one of `also`, and deal with what has happened.

        Raises:
            ForkserverLost: As `Pool.replace`.
            WorkersUnusable: No worker can work, or the last device was taken out of service.
        """
        for ready in self._pool.wait(timeout_s, also):
            if not self._ours(ready):
                continue
            message = ready.receive()
            if message is not None:
                self._said(ready, message)
            elif self._pool.died(ready):
                self._died(ready)

    def end_overdue(self) -> None:
        """Kill workers whose trial takes too long, that are frozen, or whose device is out of order.

        Raises:
            ForkserverLost, WorkersUnusable: As `listen`.
        """
        self._pool.attend()
        for device, cause in self._monitor.faults().items():
            if device in self.quarantine.in_service:
                self._close(device, cause)
        limit = self._ledger.stored.config.budget.trial_timeout
        for worker in filter(self._ours, self._pool.overdue()):
            worker.kill()
            if worker.holder is not None and not worker.warm:
                worker.holder.end()  # it is what the worker has waited for
            self._lost(worker, timed_out(limit or 0.0, worker.device))
        for worker in filter(self._ours, self._pool.stalled()):
            worker.kill()
            self._lost(worker, stalled(self._pool.stall_s or 0.0, worker.device))

    def pack(self) -> None:
        """Have more or fewer workers where that is of use.

        Raises:
            ForkserverLost: As said.
        """
        self._packer.adjust()

    def drop_all(self) -> None:
        """Kill every worker that has a trial in hand, and hand the trial back."""
        for worker in self._pool.workers:
            self._drop(worker)

    def _drop(self, worker: Worker) -> None:
        if worker.claim is not None:
            worker.kill()
            self._ledger.hand_back(worker.claim)
            worker.drop()

    def _ours(self, ready: object) -> bool:
        """Whether it is a worker, and still one: with its device, several go at once."""
        return any(ready is worker for worker in self._pool.workers)

    def _close(self, device: str, cause: str) -> None:
        """Take a device out of service; its trials go on elsewhere.

        Raises:
            WorkersUnusable: None is left.
        """
        logger.error("%s is quarantined: %s; its trials go on elsewhere", device, cause)
        self.quarantine.close(device, cause)
        for worker in self._pool.on(device):
            self._drop(worker)
            self._removed.append(WorkerSeen(worker.slot, worker.pid, device, quarantined=cause))
        self._pool.close_device(device)
        if not self.quarantine.in_service and not self.ending:
            causes = "; ".join(f"{name}: {why}" for name, why in self.quarantine.causes.items())
            raise WorkersUnusable(f"no device is left: {causes}")

    def _replace(self, worker: Worker) -> None:
        try:
            self._pool.replace(worker)
        except DeviceUnusable as error:
            self._not_started(worker, str(error), whole=False)

    def _greet(self, worker: Worker, message: Ready) -> None:
        try:
            self._pool.greet(worker, message)
        except DeviceUnusable as error:
            memory = message.fault is not None and message.fault.failure == "oom"
            self._not_started(worker, str(error), whole=not memory)

    def _not_started(self, worker: Worker, cause: str, *, whole: bool) -> None:
        """Do without a worker beside others of its device; without others, or if it is the whole one, close it."""
        others = len(self._pool.on(worker.device)) - 1
        if whole or not others:
            self._close(worker.device, cause)
            return
        logger.warning("%s: no worker can be started beside %d others: %s", worker.device, others, cause)
        self._packer.fewer(worker.device)
        self._pool.retire(worker)

    def _said(self, worker: Worker, message: object) -> None:
        if isinstance(message, Ready):
            self._greet(worker, message)
        elif isinstance(message, Begun):
            worker.begun = True
        elif worker.claim is not None and isinstance(message, Checkpointed):
            self._ledger.checkpoint(worker.claim, message.place)
        elif worker.claim is not None and isinstance(message, EpochResult):
            order = Order.HAND_BACK if worker.handing_back else self._ledger.epoch(worker.claim, message)
            worker.handing_back = order is Order.HAND_BACK
            worker.send(order)
            self._packer.epoch(worker, message)
        elif isinstance(message, Peak):
            self._packer.peak(worker, message.taken)
        elif isinstance(message, Failed) and message.device_lost:
            self._close(worker.device, message.reason)
        elif isinstance(message, Failed) and message.broken and worker.orphaned:
            self._lost(worker, None)
        elif worker.claim is not None and isinstance(message, Failed) and message.failure == "device":
            self._device_failed(worker, worker.claim, message)
        elif worker.claim is not None and not isinstance(message, Progress):
            self._ended(worker, worker.claim, message)
            worker.drop()
            if isinstance(message, Failed) and message.broken:
                self._replace(worker)

    def _device_failed(self, worker: Worker, claim: Claim, message: Failed) -> None:
        """Perhaps by the trial's fault: it is tried once on another device, and two trials in a row close this one."""
        device, fault = worker.device, self._monitor.faults().get(worker.device)
        if fault is not None:
            self._close(device, fault)
            return
        self._ledger.end(claim, ending_of(message, device, weights="", token=claim.token))
        worker.drop()
        cause = self.quarantine.failed(device, claim.trial_id, message.reason)
        if cause is None:
            self._replace(worker)
        else:
            self._close(device, cause)

    def _ended(self, worker: Worker, claim: Claim, message: object) -> None:
        if isinstance(message, HandedBack):
            self._ledger.hand_back(claim, message.checkpoint)
        elif isinstance(message, Failed) and self._packer.crowded(worker, message):
            self._ledger.hand_back(claim)
        elif isinstance(message, Done | Failed):
            ending = ending_of(message, worker.device, weights=self._ledger.weights(claim), token=claim.token)
            if isinstance(message, Done):
                self.quarantine.succeeded(worker.device)
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
        fault = self._monitor.faults().get(worker.device)
        if fault is not None:
            self._close(worker.device, fault)
            return
        if worker.claim is not None and worker.begun and ending is not None:
            self._ledger.end(worker.claim, ending)
        elif worker.claim is not None:
            self._ledger.hand_back(worker.claim)
        worker.drop()
        if self.ending:
            self._pool.remove(worker)
        else:
            self._replace(worker)
