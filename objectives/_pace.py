"""How far the host may run ahead of a device that computes behind its back."""

import time
from collections.abc import Callable

import torch

_AHEAD_S = 0.25  # of the device's work that may wait; whoever wants to stop a training waits for it
_MOST = 100  # steps


class Pace:
    """Waits for the device now and then.

    A CPU has done what it was told, so there nothing is waited for and every step is known to be done. A GPU runs dry
    for the time of a launch when it is waited for, so there it is once for every quarter of a second of its work, and
    for every 100 steps.
    """

    def __init__(
        self,
        device: torch.device,
        *,
        wait: Callable[[torch.device], None] = torch.cuda.synchronize,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Begin now, with nothing queued.

        Args:
            device: where the steps are computed.
            wait: waits for it.
            clock: seconds.
        """
        self._device, self._wait, self._clock = device, wait, clock
        self._every = 1
        self._queued, self._began = 0, clock()

    def tick(self) -> bool:
        """Note that a step has been queued; return whether all so far are known to be done."""
        if self._device.type == "cpu":
            return True
        self._queued += 1
        if self._queued < self._every:
            return False
        self._wait(self._device)
        now = self._clock()
        each = max(now - self._began, 1e-9) / self._queued  # seconds
        self._every = max(1, min(_MOST, int(_AHEAD_S / each)))
        self._queued, self._began = 0, now
        return True
