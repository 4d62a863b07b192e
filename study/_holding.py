"""A holder as its agent sees it."""

import contextlib
import logging
import math
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from multiprocessing.connection import Connection, Pipe
from multiprocessing.context import ForkServerProcess
from multiprocessing.reduction import send_handle
from pathlib import Path
from typing import Any

import psutil

from study import _holder
from study._forkserver import Forkserver
from study.devices import torch_name

logger = logging.getLogger(__name__)

MOST_DEATHS = 3
"""Of a device's holder; then its workers do without."""
KILLED_S = 10.0
"""Wait for a killed process: one whose GPU has fallen off the bus may hang in the driver for good."""
SLOWEST = 20e6
"""Bytes per second; events that come to the device more slowly mean that their holder hangs."""
SHARED_MEMORY = Path("/dev/shm")


def wants_holder(device: str, residence: str) -> bool:
    """Whether the events are to be held on a slot's device; a CPU's workers share the host's copy since their fork.

    Args:
        residence: The study's ``data.device``.
    """
    return residence == "auto" and device.startswith("cuda")


class Holder:
    """The process that holds the events on one device.

    Attributes:
        process: It.
    """

    def __init__(self, server: Forkserver, device: str, threads: int, sharers: int) -> None:
        """Start it; it fills the device meanwhile.

        Raises:
            ForkserverLost: As said.
        """
        self._control, theirs = Pipe()
        self._since = time.time()
        try:
            self.process: ForkServerProcess = server.fork(_holder.main, theirs, torch_name(device), threads, sharers)
        except BaseException:
            self._control.close()
            raise
        finally:
            theirs.close()
        self._system = None
        with contextlib.suppress(psutil.NoSuchProcess):
            self._system = psutil.Process(self.process.pid)

    def line(self) -> Connection:
        """A worker's end of a line to the holder; one that is dead has hung up."""
        ours, theirs = Pipe()
        with ours, contextlib.suppress(OSError):
            send_handle(self._control, ours.fileno(), self.process.pid)
        return theirs

    def dead(self, wait_s: float = 0.0) -> bool:
        """Whether it has ended, or does so within some seconds."""
        self.process.join(wait_s)
        return not self.process.is_alive()

    def end(self) -> None:
        """End it, and remove what it leaves; safe when it is gone already."""
        self._control.close()
        if self._system is not None:  # also right when the forkserver is gone and Python knows no child any more
            with contextlib.suppress(psutil.NoSuchProcess):
                self._system.kill()
        self.process.join(KILLED_S)
        _sweep(self.process.pid or 0, self._since)


class Holders:
    """The holders of an agent's devices: each is started when a worker first needs it, and again after its death."""

    def __init__(self, server: Forkserver, job: Mapping[str, Any], threads: int) -> None:
        """Prepare; nothing is started.

        Args:
            server: What they are forked from.
            job: The study's `config` and `facts`.
            threads: CPU threads of each.
        """
        self._server, self._threads = server, threads
        self._residence: str = job["config"]["data"]["device"]
        facts = job["facts"]
        events = facts["events"]["training"] + facts["events"]["validation"]
        self._bytes: float = 4.0 * events * math.prod(facts["shape"])
        self._holders: dict[str, Holder] = {}
        self._deaths: Counter[str] = Counter()

    @property
    def patience_s(self) -> float:
        """Seconds that a holder may take until its device is filled."""
        return self._bytes / SLOWEST

    def of(self, device: str, sharers: int) -> Holder | None:
        """The holder of a slot's device, or None where workers do without.

        Args:
            device: The slot's.
            sharers: Workers on that device.

        Raises:
            ForkserverLost: As said.
        """
        if not wants_holder(device, self._residence):
            return None
        holder = self._holders.get(device)
        if holder is not None and holder.dead():
            self._bury(device)
            holder = None
        if holder is None and self._deaths[device] < MOST_DEATHS:
            holder = self._holders[device] = Holder(self._server, device, self._threads, sharers)
        return holder

    def end(self, devices: Iterable[str] | None = None) -> None:
        """End those of the slots' devices given, or all."""
        for device in list(self._holders if devices is None else devices):
            holder = self._holders.pop(device, None)
            if holder is not None:
                holder.end()

    def _bury(self, device: str) -> None:
        holder = self._holders.pop(device)
        holder.end()
        self._deaths[device] += 1
        again = "it is started again" if self._deaths[device] < MOST_DEATHS else "each batch comes from the host now"
        status = holder.process.exitcode
        logger.warning("the process that holds the events on %s ended (exit status %s); %s", device, status, again)


def _sweep(pid: int, since: float) -> None:
    """Remove the counters of what a holder has lent: torch names the files so, and does not remove them if killed."""
    for path in SHARED_MEMORY.glob(f"torch_{pid}_*"):
        with contextlib.suppress(OSError):
            status = path.stat()
            if status.st_uid == os.getuid() and status.st_ctime >= since:
                path.unlink()
