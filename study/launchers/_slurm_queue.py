"""Slurm's queue, asked in the background: a controller that is away answers after minutes or not at all."""

import os
import subprocess
import tempfile
import time

LOOK_S = 5.0
"""Between two questions to the controller, which answers all users."""
SOON_S = 1.0
"""Likewise, when the answer is waited for."""
ENDED = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED"),
    *("NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT"),
)
"""States in which a job will not run again."""


class Command:
    """A command of Slurm that nobody waits for."""

    def __init__(self, *words: str) -> None:
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 # a pipe would be full with a long queue
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def status(self) -> int | None:
        """Its exit status, or None while it runs."""
        return self._process.poll()

    def wait(self, seconds: float) -> int | None:
        """Its exit status, or None when it takes longer."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def output(self) -> str:
        """What it has written; once."""
        with self._output as file:
            file.seek(0)
            return file.read()


class Queue:
    """The states of an array job's tasks, read again and again."""

    def __init__(self, job_id: str, name: str) -> None:
        """Look at nothing yet.

        Args:
            job_id: Of the array, or of a single job, which counts as its task 0.
            name: The job's name.
        """
        self._job_id = job_id
        # By name, not by id: asking for an id that Slurm has forgotten is an error, as is no answer.
        self._words = (
            *("squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}", f"--name={name}"),
            "--format=%F %K %T",
        )
        self._command: Command | None = None
        self._next_at = 0.0

    def look(self, *, soon: bool = False) -> dict[int, str] | None:
        """The states of all tasks that Slurm still knows, when there is a new answer; else None."""
        if self._command is None:
            if time.monotonic() >= self._next_at:
                self._command = Command(*self._words)
            return None
        status = self._command.status()
        if status is None:
            return None
        command, self._command = self._command, None
        self._next_at = time.monotonic() + (SOON_S if soon else LOOK_S)
        answer = command.output()
        return self._states(answer) if status == 0 else None

    def _states(self, answer: str) -> dict[int, str]:
        states = {}
        for line in answer.splitlines():
            job_id, task, state = line.split()
            if job_id == self._job_id:
                states[int(task) if task.isdigit() else 0] = state
        return states
