"""An agent's workers: started warm, watched, replaced."""

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Pipe, wait
from multiprocessing.context import ForkServerProcess
from typing import Any

import psutil

from study import _worker
from study._child import EXIT_CODE_S, Worker
from study._forkserver import DeviceUnusable, Forkserver, ForkserverLost, WorkersUnusable
from study._holding import Holders
from study._messages import Ready, progress_s

logger = logging.getLogger(__name__)

READY_TIMEOUT_S = 300.0
"""For a fork to say that it is ready; a first CUDA context takes some seconds."""
HANG_UP_S = 2.0
"""That idle workers get to end by themselves when hung up on."""
LOST_SERVER_CODE = 255
"""What Python reports for a child of a forkserver that died before it could tell."""
MOST_STILLBORN, MOST_RESTARTS = 3, 3


class Pool:
    """Warm workers, one per device slot. Use as a context manager: leaving it leaves no process behind.

    Attributes:
        stall_s: Silence after which a worker with a trial is given up, or None.
    """

    def __init__(self, devices: Sequence[str], job: dict[str, Any], threads: int) -> None:
        """Prepare; `start` loads the events and starts the workers.

        Args:
            devices: Torch's name of each slot's device.
            job: The study's `config`, `facts` and `folder`.
            threads: CPU threads of each worker.
        """
        self._server = Forkserver(job)
        self._holders = Holders(self._server, job, threads)
        self._threads = threads
        self._slots = dict(enumerate(devices))
        self._next_slot = len(self._slots)
        self.stall_s: float | None = job["config"]["workers"]["stall"]
        self._attended = time.monotonic()
        self._stillborn: Counter[str] = Counter()  # by device, in a row
        self._restarts = 0
        self._closed: set[str] = set()
        self._told: set[str] = set()
        self.workers: list[Worker] = []

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *exception: object) -> None:
        self._end_workers()
        self._server.stop()

    @property
    def devices(self) -> list[str]:
        """The device of each slot."""
        return list(self._slots.values())

    @property
    def busy(self) -> bool:
        """Whether a worker has a trial in hand."""
        return any(worker.claim is not None for worker in self.workers)

    def start(self, should_stop: Callable[[], bool]) -> None:
        """Load the events, then start the workers, each of which says when it is ready.

        Raises:
            Stopped: `should_stop` said so while the events were being loaded.
            WorkersUnusable: The events cannot be loaded.
            ForkserverLost: As said.
        """
        self._server.load(should_stop)
        for slot, device in self._slots.items():
            if device not in self._closed:
                self.workers.append(self._fork(slot, device))

    def restart(self, should_stop: Callable[[], bool]) -> None:
        """After the forkserver was lost: load the events again, and start all workers again.

        Raises:
            Stopped, WorkersUnusable, ForkserverLost: As `start`; also when that has happened too often.
        """
        self._end_workers()
        self._restarts += 1
        if self._restarts > MOST_RESTARTS:
            raise WorkersUnusable(
                f"the process that holds the events was killed {self._restarts} times; memory may have run out"
            )
        self.start(should_stop)

    def greet(self, worker: Worker, first: Ready) -> None:
        """Take a worker's first message.

        Raises:
            WorkersUnusable: It cannot work.
            DeviceUnusable: It cannot work on its device.
        """
        if first.fault is not None:
            raise DeviceUnusable(first.fault.reason)
        if first.error is not None or not first.warm:
            raise WorkersUnusable(first.error or "the events were not loaded before the worker was forked")
        worker.warm, worker.deadline = first.warm, None
        del self._stillborn[worker.device]
        if first.residence and first.residence not in self._told:
            self._told.add(first.residence)
            logger.info("%s", first.residence)

    def replace(self, worker: Worker) -> None:
        """Kill a worker and start another in its slot, warm.

        Raises:
            DeviceUnusable: Workers of its device die before they are ready, again and again.
            ForkserverLost: As said.
        """
        worker.kill()
        if not worker.warm and not worker.orphaned:
            self._stillborn[worker.device] += 1
            if self._stillborn[worker.device] > MOST_STILLBORN:
                number = self._stillborn[worker.device]
                raise DeviceUnusable(f"{number} workers in a row ended before their first message")
        self.workers[self.workers.index(worker)] = self._fork(worker.slot, worker.device)

    def beside(self, target: Callable[..., None], *args: object) -> ForkServerProcess:
        """A further process, forked as the workers are.

        Raises:
            ForkserverLost: As said.
        """
        return self._server.fork(target, *args)

    def remove(self, worker: Worker) -> None:
        """Kill a worker for good, and with the last one of its device the holder."""
        worker.kill()
        self.workers.remove(worker)
        if worker.device not in {left.device for left in self.workers}:
            self._holders.end([worker.device])

    def add(self, device: str) -> None:
        """Start one more worker on a device, in a slot of its own.

        Raises:
            ForkserverLost: As said.
        """
        slot, self._next_slot = self._next_slot, self._next_slot + 1
        self._slots[slot] = device
        self.workers.append(self._fork(slot, device))

    def retire(self, worker: Worker) -> None:
        """Kill a worker for good, and its slot with it."""
        del self._slots[worker.slot]
        self.remove(worker)

    def close_device(self, device: str) -> None:
        """Kill a device's workers for good; it gets none any more."""
        self._closed.add(device)
        for worker in self.on(device):
            self.remove(worker)

    def on(self, device: str) -> list[Worker]:
        """A device's workers."""
        return [worker for worker in self.workers if worker.device == device]

    def died(self, worker: Worker) -> bool:
        """Whether a worker has ended.

        Raises:
            ForkserverLost: And the forkserver with it.
        """
        if worker.process.is_alive():
            return False
        end = time.monotonic() + EXIT_CODE_S
        while worker.process.exitcode == LOST_SERVER_CODE and time.monotonic() < end:
            if not self._server.alive:
                raise ForkserverLost
            time.sleep(0.01)  # seconds; a dying process closes its pipes some time before it counts as dead
        return True

    def attend(self) -> None:
        """Take note that the agent is awake, after each `wait`.

        While it was frozen, or waited for its database, it neither read what its workers said nor answered them: that
        time counts against none of them.
        """
        now = time.monotonic()
        away = now - self._attended - 2 * progress_s(self.stall_s)
        for worker in self.workers if away > 0 else []:
            worker.forgive(away)
        self._attended = now

    def overdue(self) -> list[Worker]:
        """Workers past their deadline."""
        now = time.monotonic()
        return [worker for worker in self.workers if worker.deadline is not None and now > worker.deadline]

    def stalled(self) -> list[Worker]:
        """Workers with a trial that have said nothing for too long."""
        if self.stall_s is None:
            return []
        since = time.monotonic() - self.stall_s
        return [worker for worker in self.workers if worker.claim is not None and worker.spoken < since]

    def wait(self, timeout_s: float, also: Iterable[Any] = ()) -> list[Any]:
        """Workers that have said something or have died, and those of `also` that are ready."""
        by_handle: dict[Any, Any] = {handle: handle for handle in also}
        for worker in self.workers:
            by_handle[worker.process.sentinel] = worker
            by_handle[worker.connection] = worker
        ready = [by_handle[handle] for handle in wait(list(by_handle), timeout_s)]
        return list({id(item): item for item in ready}.values())

    def _fork(self, slot: int, device: str) -> Worker:
        holder = self._holders.of(device, self.devices.count(device))
        line = holder.line() if holder is not None else None
        ours, theirs = Pipe()
        try:
            process = self._server.fork(_worker.main, theirs, device, self._threads, line)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            if line is not None:
                line.close()
        system = None
        with contextlib.suppress(psutil.NoSuchProcess):
            system = psutil.Process(process.pid)
        patience_s = READY_TIMEOUT_S + (self._holders.patience_s if holder is not None else 0.0)
        return Worker(slot, device, process, ours, system, deadline=time.monotonic() + patience_s, holder=holder)

    def _end_workers(self) -> None:
        for worker in self.workers:
            worker.connection.close()
        end = time.monotonic() + HANG_UP_S
        for worker in self.workers:
            worker.process.join(max(0.0, end - time.monotonic()))
            worker.kill()
        self.workers = []
        self._holders.end()
