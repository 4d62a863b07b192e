"""An agent as a child process: its command line, its environment, and why it ended."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from study.launchers._launcher import AgentOrder

CRASHED = 70
"""Exit status of an agent that met an error of its own; what a user can mend has another."""
TOLD_TO_END = 130
"""Exit status of an agent that somebody told to end."""


def worker_arguments(order: AgentOrder, workers: int | None) -> list[str]:
    """Arguments of ``studyhall`` for one agent.

    Args:
        workers: Trials at a time of this agent; None means one per device slot.
    """
    arguments = ["worker", order.study]
    if workers is not None:
        arguments += ["--workers", str(workers)]
    if order.devices != "auto":
        arguments += ["--devices", order.devices if isinstance(order.devices, str) else ",".join(order.devices)]
    return [*arguments, "--use-busy"] if order.use_busy else arguments


def agent_environment(storage: str) -> dict[str, str]:
    """Variables of an agent; the database's password is among them, where no other user sees it."""
    return {"STUDYHALL_STORAGE": storage, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}


class AgentProcess:
    """An agent that ends when this process does: it watches the pipe that this process holds open."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
        """Start it; its output is added to the log."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                # -P: a folder called `models` where the user stands must not hide ours.
                [sys.executable, "-P", "-m", "study", *arguments, "--supervised"],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,  # Ctrl-C reaches the launcher alone, which then asks in good order
            )

    def poll(self) -> int | None:
        """Exit status, negative for a signal, or None while it runs."""
        return self._process.poll()

    def wait(self) -> int:
        """Wait for its end; its exit status."""
        return self._process.wait()

    def end(self) -> None:
        """Ask it to hand its trials back and end; asked again, it ends at once."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def release(self) -> None:
        """Let it find this process gone, so that it hands its trials back and ends; safe to repeat."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def kill(self) -> None:
        """End it and its workers, also those that outlived it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.release()


def crashed(status: int) -> bool:
    """Whether an agent ended by a signal or an error of its own, so that another may do better."""
    return status < 0 or status == CRASHED


def reason(status: int) -> str:
    """Why an agent ended, in words."""
    if status >= 0:
        return f"ended with exit status {status}"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    hint = "; memory may have run out" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"
