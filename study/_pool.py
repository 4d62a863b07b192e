"""An agent's workers: started warm, watched, replaced."""

import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from storage.attempts import Claim
from study import _worker
from study._messages import Ready

READY_TIMEOUT_S = 1800.0
"""The first worker waits for the events to be loaded, which may take long from a slow disk."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class WorkersUnusable(Exception):
    """No worker can be started; the message says why."""


@dataclass
class Worker:
    """One device slot and the process that serves it.

    Attributes:
        claim: The trial it works on, or None when idle.
        deadline: `time.monotonic` after which its trial has taken too long, or None.
    """

    slot: int
    device: str
    process: ForkServerProcess
    connection: Connection
    claim: Claim | None = None
    deadline: float | None = None
    epoch: int = 0
    handing_back: bool = field(default=False)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid or 0


class Pool:
    """Warm workers, one per device slot. Use as a context manager: leaving it leaves no process behind."""

    def __init__(self, devices: Sequence[str], job: dict[str, Any], threads: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="studyhall-")
        path = Path(self._folder.name) / "job.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        os.environ["STUDYHALL_JOB"] = str(path)
        for variable in THREAD_VARIABLES:
            os.environ[variable] = str(threads)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["study._preload"])
        self._threads = threads
        self._devices = list(devices)
        self.workers: list[Worker] = []

    def __enter__(self) -> "Pool":
        try:
            for slot, device in enumerate(self._devices):
                self.workers.append(self._start(slot, device))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def replace(self, worker: Worker) -> Worker:
        """Kill a worker and start another in its slot, warm."""
        _end(worker)
        fresh = self._start(worker.slot, worker.device)
        self.workers[self.workers.index(worker)] = fresh
        return fresh

    def wait(self, timeout_s: float, also: Iterable[Any] = ()) -> list[Any]:
        """Workers that have said something or have died, and those of `also` that are ready."""
        by_handle: dict[Any, Any] = {handle: handle for handle in also}
        for worker in self.workers:
            by_handle[worker.connection] = worker
            by_handle[worker.process.sentinel] = worker
        ready = [by_handle[handle] for handle in wait(list(by_handle), timeout_s)]
        return list({id(item): item for item in ready}.values())

    def close(self) -> None:
        """End every worker; those that do not end when hung up on are killed."""
        for worker in self.workers:
            worker.connection.close()
        for worker in self.workers:
            worker.process.join(2.0)  # seconds
            _end(worker)
        self.workers = []
        self._folder.cleanup()

    def _start(self, slot: int, device: str) -> Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_worker.main, args=(theirs, device, self._threads), daemon=True)
        process.start()
        theirs.close()
        worker = Worker(slot, device, process, ours)
        try:
            self._await_ready(worker)
        except BaseException:
            _end(worker)
            raise
        return worker

    def _await_ready(self, worker: Worker) -> None:
        end = time.monotonic() + READY_TIMEOUT_S
        try:
            if not worker.connection.poll(max(end - time.monotonic(), 0)):
                raise WorkersUnusable(f"a worker did not start within {READY_TIMEOUT_S:.0f} s")
            first = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            raise WorkersUnusable("a worker ended before its first message; the log may say why") from None
        if not isinstance(first, Ready) or first.error or not first.warm:
            reason = getattr(first, "error", None) or "the events were not loaded before the fork"
            raise WorkersUnusable(reason)


def _end(worker: Worker) -> None:
    worker.connection.close()
    if worker.process.is_alive():
        worker.process.kill()
    worker.process.join()
