"""Fills an agent's devices with workers, by what the workers say and the devices tell."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from objectives._fit_settings import EpochResult
from study._child import Worker
from study._load import load_of
from study._messages import Failed
from study._monitor import Monitor
from study._packing import Packing, Reading
from study._pool import Pool

logger = logging.getLogger(__name__)

CUDA_CONTEXT_BYTES = 500 * 2**20
"""Of a GPU's memory, for each worker, beside what its allocator has; not yet measured."""
CPU_CONTEXT_BYTES = 64 * 2**20
"""Of a host's memory, for what a worker has taken before it trains."""
SAMPLE_S = 1.0
"""Seconds between two looks at a device."""


@dataclass
class _Share:
    """One device and its workers.

    Attributes:
        packing: Decides how many.
        trained: Tokens of the trials that have trained an epoch beside the present workers.
        since: `time.monotonic` since when all of them train; None while one does not.
        rates: Events per second of epochs begun after that, by token.
        busy: Looks at the device after that.
        peak_bytes: The most that a worker has told.
    """

    packing: Packing
    trained: set[str] = field(default_factory=set[str])
    since: float | None = None
    rates: dict[str, float] = field(default_factory=dict[str, float])
    busy: list[float] = field(default_factory=list[float])
    peak_bytes: float = 0.0

    def forget(self) -> None:
        """Measure anew."""
        self.trained, self.since, self.rates, self.busy = set(), None, {}, []


class Packer:
    """Decides how many of a pool's workers there are on each device, and adds and retires them."""

    def __init__(self, pool: Pool, devices: Sequence[str], most: int, monitor: Monitor) -> None:
        """Begin with the pool's workers, one on each device.

        Args:
            devices: Each once; of others it leaves the workers as they are.
            most: Workers that there may be on each.
            monitor: Of those that are GPUs.
        """
        self._pool, self._monitor = pool, monitor
        self._shares = {device: _Share(Packing(most, _context_bytes(device))) for device in devices}
        self._sampled = 0.0

    def peak(self, worker: Worker, peak_bytes: float) -> None:
        """A worker has taken more memory than ever before."""
        worker.peak_bytes = peak_bytes
        if worker.device in self._shares:
            share = self._shares[worker.device]
            share.peak_bytes = max(share.peak_bytes, peak_bytes)

    def epoch(self, worker: Worker, result: EpochResult) -> None:
        """A worker has trained an epoch."""
        share, now = self._shares.get(worker.device), time.monotonic()
        if share is None or worker.claim is None:
            return
        token = worker.claim.token
        share.trained.add(token)
        if share.since is None:
            if (together := self._together(worker.device)) and together <= share.trained:
                share.since = now
        elif now - result.seconds >= share.since:
            share.rates[token] = result.events_per_second

    def crowded(self, worker: Worker, message: Failed) -> bool:
        """Whether a trial failed for want of memory beside others; then its worker is retired for good."""
        wants_memory = message.failure == "oom" or "memory" in message.constraints
        if worker.device not in self._shares or not wants_memory or len(self._active(worker.device)) < 2:
            return False
        self.fewer(worker.device)
        worker.retiring = True
        left = self._shares[worker.device].packing.workers
        logger.warning("%s: memory ran out; from now on it has %d workers", worker.device, left)
        return True

    def fewer(self, device: str) -> None:
        """Leave a device one worker less, for good."""
        if device in self._shares:
            self._shares[device].packing.crowded()
            self._shares[device].forget()

    def adjust(self) -> None:
        """Look at the devices, and add or retire workers; called again and again.

        Raises:
            ForkserverLost: As `Pool.add`.
        """
        now = time.monotonic()
        if now - self._sampled >= SAMPLE_S:
            self._sampled = now
            for device, share in self._shares.items():
                self._look(device, share)
        for device, share in self._shares.items():
            active = sorted(self._active(device), key=lambda worker: worker.slot)
            for worker in active[share.packing.workers :]:
                worker.retiring = True
        for worker in [worker for worker in self._pool.workers if worker.retiring and worker.claim is None]:
            self._pool.retire(worker)

    def _look(self, device: str, share: _Share) -> None:
        if share.since is None:
            return
        load = load_of(device, self._monitor)
        if load.busy is not None:
            share.busy.append(load.busy)
        tokens = self._together(device)
        if not tokens or not tokens <= share.rates.keys() or not share.peak_bytes or load.free_bytes is None:
            return
        before = share.packing.workers
        share.packing.look(self._reading(device, share, tokens, load.free_bytes))
        share.forget()
        if share.packing.workers != before:
            logger.info("%s: %d workers share it from now on", device, share.packing.workers)
        if share.packing.workers > before:
            self._pool.add(device)

    def _reading(self, device: str, share: _Share, tokens: set[str], free_bytes: float) -> Reading:
        idle = 1 - sum(share.busy) / len(share.busy) if share.busy else None
        alike = [other for other in self._shares if other.startswith("cpu") == device.startswith("cpu")]
        sharing = alike if device.startswith("cpu") else [device]  # parts of the CPU have one memory
        taken = sum(
            worker.peak_bytes + _context_bytes(device) for worker in self._pool.workers if worker.device in sharing
        )
        rates = {token: share.rates[token] for token in tokens}
        return Reading(rates, idle, share.peak_bytes, (free_bytes + taken) / len(sharing))

    def _active(self, device: str) -> list[Worker]:
        return [worker for worker in self._pool.workers if worker.device == device and not worker.retiring]

    def _together(self, device: str) -> set[str]:
        """Tokens of a device's trials, if as many train as shall; else none."""
        claims = [worker.claim for worker in self._pool.workers if worker.device == device]
        tokens = {claim.token for claim in claims if claim is not None}
        return tokens if len(tokens) == self._shares[device].packing.workers else set()


def _context_bytes(device: str) -> float:
    return CUDA_CONTEXT_BYTES if device.startswith("cuda") else CPU_CONTEXT_BYTES
