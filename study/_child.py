"""A worker as its agent sees it."""

import contextlib
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

import psutil

from storage.agents import WorkerSeen
from storage.attempts import Claim
from study._holding import KILLED_S, Holder
from study._messages import ORPHANED, Order
from study._nvml import Reading

EXIT_CODE_S = 1.0
"""Wait for the exit status of a process whose pipe is closed."""


@dataclass
class Worker:
    """One device slot and the process that serves it.

    Attributes:
        warm: What was in place when it was forked; empty until its first message.
        claim: The trial it works on, or None when idle.
        begun: Whether the trial has reached it.
        deadline: `time.monotonic` after which its trial, or its start, has taken too long; None means never.
        handing_back: Whether it has been told to drop the trial.
        spoken: `time.monotonic` of the last word between it and its agent.
        holder: Of the events on its device, or None.
        retiring: Whether it gets no trial any more, and goes when it has none.
        peak_bytes: The most device memory that it has told to have taken.
    """

    slot: int
    device: str
    process: ForkServerProcess
    connection: Connection
    system: psutil.Process | None
    deadline: float | None
    warm: tuple[str, ...] = ()
    claim: Claim | None = None
    begun: bool = False
    handing_back: bool = False
    spoken: float = field(default_factory=time.monotonic)
    holder: Holder | None = None
    retiring: bool = False
    peak_bytes: float = 0.0

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid or 0

    def seen(self, gpu: Reading) -> WorkerSeen:
        """What there is to see of its process, and of its GPU."""
        memory_mb = utilisation = None
        if self.system is not None:
            with contextlib.suppress(psutil.Error):
                memory_mb = round(self.system.memory_info().rss / 2**20, 1)
                utilisation = self.system.cpu_percent()
        return WorkerSeen(
            *(self.slot, self.pid, self.device, memory_mb, utilisation),
            gpu_utilisation=gpu.utilisation,
            gpu_used_mb=gpu.used_mb,
            gpu_total_mb=gpu.total_mb,
            gpu_power_w=gpu.power_w,
        )

    @property
    def idle(self) -> bool:
        """Whether it can take a trial."""
        return bool(self.warm) and self.claim is None and not self.retiring

    @property
    def orphaned(self) -> bool:
        """Whether its holder has ended: whatever it has met with since is not its trial's fault."""
        if self.holder is None:
            return False
        suspected = self.process.exitcode in (None, ORPHANED)
        return self.holder.dead(EXIT_CODE_S if suspected else 0.0)

    def send(self, message: object) -> None:
        """Say something; to a dead worker that is no error, since `Pool.wait` tells of its death."""
        self.spoken = time.monotonic()
        with contextlib.suppress(OSError):
            self.connection.send(message)

    def receive(self) -> Any:
        """Its next message if there is one, None if not; a worker that has hung up is killed."""
        try:
            if not self.connection.poll():
                return None
            self.spoken = time.monotonic()
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join(EXIT_CODE_S)
            self.kill()
            return None

    def kill(self) -> None:
        """End it without asking; safe when it is gone already."""
        self.connection.close()
        if self.system is not None:  # also right when the forkserver is gone and Python knows no child any more
            with contextlib.suppress(psutil.NoSuchProcess):
                self.system.kill()
        self.process.join(KILLED_S)

    def take(self, claim: Claim, deadline: float | None) -> None:
        """Have a trial in hand."""
        self.claim, self.deadline, self.begun, self.handing_back = claim, deadline, False, False

    def forgive(self, seconds: float) -> None:
        """Count so much of the time that has passed for nothing."""
        self.spoken = min(self.spoken + seconds, time.monotonic())
        if self.deadline is not None:
            self.deadline += seconds

    def drop(self) -> None:
        """Have no trial in hand any more."""
        self.claim = self.deadline = None

    def order_back(self) -> None:
        """Tell it to drop its trial at the next batch."""
        if not self.handing_back:
            self.handing_back = True
            self.send(Order.HAND_BACK)
