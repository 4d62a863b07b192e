"""One agent on this machine, started again when it crashes."""

import os
import platform
import time

from storage.errors import ConfigError
from study.devices import device_slots
from study.launchers._agent_process import (
    TOLD_TO_END,
    AgentProcess,
    agent_environment,
    crashed,
    reason,
    worker_arguments,
)
from study.launchers._crashes import Crashes
from study.launchers._launcher import AgentOrder


class LocalAgent:
    """An agent that ends with its launcher, and that is replaced when it crashes.

    Attributes:
        log: The output of all that were started in a row.
    """

    def __init__(self, order: AgentOrder) -> None:
        # With the host: containers that share a folder have the same process ids.
        name = f"agent-{time.strftime('%Y%m%d-%H%M%S')}-{platform.node()}-{os.getpid()}.log"
        self.log = order.logs / name
        self._arguments = worker_arguments(order, order.workers)
        self._environment = agent_environment(order.storage)
        self._crashes = Crashes()
        self._asked = False
        self._again_at: float | None = None
        self._start()

    def _start(self) -> None:
        self._process = AgentProcess(self._arguments, self._environment, self.log)
        self._began, self._again_at = time.monotonic(), None

    def poll(self) -> int | None:
        """Exit status, or None while it runs or will be started again."""
        status, now = self._process.poll(), time.monotonic()
        if status is None or not crashed(status):
            return status
        if self._asked:
            return status if self._again_at is None else TOLD_TO_END
        if self._again_at is None:
            return self._crashed(status, now)
        if now >= self._again_at:
            self._start()
        return None

    def _crashed(self, status: int, now: float) -> int | None:
        self._process.kill()  # workers that outlived it
        lived_s = now - self._began
        pause_s = self._crashes.pause_s(lived_s)
        told = f"the agent {reason(status)}, {lived_s:.0f} s after its start"
        if pause_s is None:
            self._tell(f"{told}; it crashed {self._crashes.in_a_row} times in a row, so it is not started again")
            return status
        self._tell(f"{told}; it is started again in {pause_s:g} s")
        self._again_at = now + pause_s
        return None

    def _tell(self, line: str) -> None:
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')},000 WARNING {line}\n")

    def interrupt(self) -> None:
        """Ask it to end."""
        self._asked = True
        self._process.end()

    def kill(self) -> None:
        """End it and its workers, also those that outlived it."""
        self._asked = True
        self._process.kill()


class LocalLauncher:
    """Starts one agent on this machine, with one worker per device slot."""

    def preview(self, order: AgentOrder) -> str:
        """Refuse devices that this machine does not have, or that others use."""
        for option in order.options:
            raise ConfigError(f"there is no option --{option} to run on this machine; see studyhall launch --help")
        slots = device_slots(order.devices, order.per_device, order.workers, use_busy=order.use_busy)
        devices = ", ".join(f"{slots.count(name)} on {name}" for name in dict.fromkeys(slots))
        at_first = " at first, and as many more as pay" if order.per_device == "auto" else ""
        return f"1 agent on this machine with {len(slots)} worker{'s' if len(slots) > 1 else ''}{at_first}: {devices}"

    def start(self, order: AgentOrder) -> LocalAgent:
        """Start the agent; returns at once."""
        return LocalAgent(order)


LAUNCHER = LocalLauncher()
