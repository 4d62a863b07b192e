"""The agents of a drill: processes of their own, which are killed, frozen, thawed and started again."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

GONE_S = 30.0
"""For a killed process to be gone, or an ended one to be noticed."""


class Agents:
    """One agent per database URL, each with one worker."""

    def __init__(self, study: str, urls: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        """Prepare; `start` starts them.

        Args:
            study: The study's name.
            urls: What each agent takes for the database.
            folder: For their logs, ``agent-<slot>.log``.
            environment: Variables that they get besides this process's.
        """
        self._study, self._urls, self._folder = study, list(urls), folder
        self._environment = {**os.environ, **environment, "PYTHONUNBUFFERED": "1"}
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._ending = False

    def __len__(self) -> int:
        return len(self._urls)

    def start(self, slot: int) -> None:
        """Start an agent, unless the drill ends."""
        command = [sys.executable, "-P", "-m", "study", "worker", self._study, "--workers", "1", "--devices", "cpu"]
        with self._lock, self.log(slot).open("ab") as log:
            if self._ending:
                return
            self._processes[slot] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment | {"STUDYHALL_STORAGE": self._urls[slot]},
                cwd=self._folder,
                start_new_session=True,
            )

    def log(self, slot: int) -> Path:
        """Where an agent's output goes, of all its lives."""
        return self._folder / f"agent-{slot}.log"

    def slot_of(self, pid: int) -> int | None:
        """The slot of the agent to which a process, itself or one of its workers, belongs."""
        with contextlib.suppress(psutil.NoSuchProcess):
            family = {pid, *(parent.pid for parent in psutil.Process(pid).parents())}
            for slot, process in self._processes.items():
                if process.pid in family:
                    return slot
        return None

    def worker_of(self, slot: int) -> int | None:
        """The process id of an agent's worker, if it has one now."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self._processes[slot].pid).children():
                for grandchild in child.children() if "forkserver" in " ".join(child.cmdline()) else ():
                    return int(grandchild.pid)
        return None

    def ended(self, slot: int) -> int | None:
        """An agent's exit status; None while it runs."""
        return self._processes[slot].poll()

    def kill(self, slot: int) -> None:
        """Kill an agent, and wait until it is gone."""
        process = self._processes[slot]
        process.kill()
        process.wait(GONE_S)

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Send a signal; nothing where there is no such process any more."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def pid(self, slot: int) -> int:
        """An agent's process id."""
        return self._processes[slot].pid

    def stop(self) -> None:
        """End them all, with everything they have started."""
        with self._lock:
            self._ending = True
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(GONE_S)
