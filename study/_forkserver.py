"""The process that holds the events in memory, and that workers are forks of."""

import contextlib
import json
import logging
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psutil

from study._preload import BEGUN, JOB_VARIABLE, OUTCOME
from study._signals import kept_from_children

logger = logging.getLogger(__name__)

LOOK_S = 0.05
"""Seconds between two looks whether the events are loaded."""
BEGIN_TIMEOUT_S = 120.0
"""For Python to start and import our first module; loading itself may take as long as it needs."""
ENVIRONMENT = {
    # A library that starts threads at import would make the fork unsafe; workers set torch's threads themselves.
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"),
    # A folder called `models` where the user stands must not hide ours.
    "PYTHONSAFEPATH": "1",
}
DEFAULTS = {
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    # `torch.cuda.is_available()`, which a family's file may well ask when it is imported, then asks that library too:
    # CUDA, once asked, works in no fork.
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
}
"""Unless the user has set them: workers count GPUs as the driver's library does."""


class WorkersUnusable(Exception):
    """No worker can be started; the message says why."""


class DeviceUnusable(WorkersUnusable):
    """No worker can be started on one of the devices; the message says why, without its name."""


class Stopped(Exception):
    """The caller asked to stop while the events were being loaded."""


class ForkserverLost(Exception):
    """The process that holds the events is gone, and its workers with it."""


class Forkserver:
    """Loads a study's events once; `fork` then starts warm workers at once.

    Python has one forkserver per process, so there may be one of these at a time. `stop` leaves nothing behind.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="studyhall-")
        path = Path(self._folder.name) / "job.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        self._outcome, self._begun = path.with_name(OUTCOME), path.with_name(BEGUN)
        self._before = {name: os.environ.get(name) for name in (*ENVIRONMENT, *DEFAULTS, JOB_VARIABLE)}
        os.environ.update(ENVIRONMENT | {JOB_VARIABLE: str(path)})
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["study._preload"])

    @property
    def pid(self) -> int | None:
        """Its process id; None when it was never started."""
        pid: int | None = _python_s()._forkserver_pid
        return pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        try:
            return self.pid is not None and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def load(self, should_stop: Callable[[], bool]) -> None:
        """Start it and wait until the events are loaded; also after it was lost.

        Raises:
            Stopped: `should_stop` said so.
            WorkersUnusable: The events cannot be loaded.
        """
        self._end()
        self._outcome.unlink(missing_ok=True)
        self._begun.unlink(missing_ok=True)
        logger.info("loading the events")
        began = time.monotonic()
        with kept_from_children():
            forkserver.ensure_running()
        while not self._outcome.exists():
            if should_stop():
                raise Stopped
            self._check(time.monotonic() - began)
            time.sleep(LOOK_S)
        error = json.loads(self._outcome.read_text(encoding="utf-8"))["error"]
        if error is not None:
            raise WorkersUnusable(error)
        logger.info("events loaded in %.1f s", time.monotonic() - began)

    def fork(self, target: Callable[..., None], *args: object) -> ForkServerProcess:
        """A warm process that runs `target`.

        Raises:
            ForkserverLost: As said.
        """
        if not self.alive:
            raise ForkserverLost
        process = self._context.Process(target=target, args=args, daemon=True)
        try:
            with kept_from_children():
                process.start()
        except (EOFError, OSError):
            raise ForkserverLost from None
        return process

    def stop(self) -> None:
        """End it; the next one of this process starts afresh."""
        self._end()
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._folder.cleanup()

    def _check(self, seconds: float) -> None:
        if not self.alive:
            raise WorkersUnusable(
                "the process that loads the events ended before they were loaded; memory may have run out, or a "
                "family's or task's file ended it"
            )
        if seconds > BEGIN_TIMEOUT_S and not self._begun.exists():
            raise WorkersUnusable("Python's forkserver could not import study._preload; is Studyhall installed?")

    def _end(self) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            _python_s()._stop()  # reaps it, and forgets its address


def _python_s() -> Any:
    # Python offers no public way to end its forkserver, or to learn its id.
    return forkserver._forkserver
