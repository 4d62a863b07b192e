"""One agent on this machine."""

import contextlib
import os
import signal
import subprocess
import sys

from study.devices import device_slots
from study.launchers._launcher import AgentCommand


class LocalAgent:
    """An agent that ends with its launcher: it watches the pipe that this process holds open."""

    def __init__(self, command: AgentCommand) -> None:
        arguments = ["worker", command.study, "--supervised"]
        if command.workers is not None:
            arguments += ["--workers", str(command.workers)]
        if command.devices is not None:
            arguments += ["--devices", command.devices]
        command.log.parent.mkdir(parents=True, exist_ok=True)
        with command.log.open("ab") as log:
            self._process = subprocess.Popen(
                # -P: a folder called `models` where the user stands must not hide ours.
                [sys.executable, "-P", "-m", "study", *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "STUDYHALL_STORAGE": command.storage,
                    "PYTHONUNBUFFERED": "1",
                    "PYTHONIOENCODING": "utf-8",
                },
                start_new_session=True,  # Ctrl-C reaches the launcher alone, which then asks in good order
            )

    def poll(self) -> int | None:
        """Exit status, or None while it runs."""
        return self._process.poll()

    def interrupt(self) -> None:
        """Ask it to end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and its workers, also those that outlived it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class LocalLauncher:
    """Starts one agent on this machine, with one worker per device slot."""

    def check(self, devices: str | tuple[str, ...], per_device: int, workers: int | None) -> None:
        """Refuse devices that this machine does not have."""
        device_slots(devices, per_device, workers)

    def start(self, command: AgentCommand) -> LocalAgent:
        """Start the agent; returns at once."""
        return LocalAgent(command)


LAUNCHER = LocalLauncher()
