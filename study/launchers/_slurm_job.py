"""What runs in a Slurm job: an agent, which is told in time that the job ends; then the job is queued again.

Signals of Slurm reach all processes of a job step, some of them twice. Only the job takes them; its agent is told
once, by the pipe between them.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from study._signals import PREEMPTION, handled
from study.launchers._agent_process import TOLD_TO_END, AgentProcess, agent_environment, crashed, reason
from study.launchers._crashes import Crashes

POLL_S = 0.2
"""Between two looks at the agent."""
TRIES, TRY_S = 10, 3.0
"""Questions to a controller that does not answer, and seconds between them."""


@dataclass(frozen=True)
class AgentJob:
    """A callable for submitit.

    Attributes:
        arguments: Of ``studyhall``. The database is no part of it: Slurm hands the submitter's environment on.
        log: The agent's log; ``%j`` stands for the job's id.
    """

    arguments: tuple[str, ...]
    log: str

    def __call__(self) -> int:
        """Run the agent to its end; its exit status. Does not return when the job is queued again."""
        from submitit import JobEnvironment

        job: Any = JobEnvironment()
        job.paths.result_pickle.unlink(missing_ok=True)  # of a run before this one
        notice = signal.Signals[f"SIG{job.USR_SIG}"]
        shift = _Shift(self.arguments, Path(self.log.replace("%j", job.job_id)), notice)
        with handled((signal.SIGTERM, notice), shift.leave):
            status = shift.run()
        if status == TOLD_TO_END:
            _come_back(job.job_id, notice)
        return status

    def checkpoint(self) -> Any:
        """What submitit runs when the job begins again: the same; trials are in the database."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class _Shift:
    """An agent, started again when it crashes, until the job ends."""

    def __init__(self, arguments: tuple[str, ...], log: Path, notice: signal.Signals) -> None:
        self._arguments, self._log, self._notice = list(arguments), log, notice
        self._leaving = False

    def leave(self, number: int, frame: FrameType | None) -> None:
        """Take a signal: the agent shall hand its trials back."""
        self._leaving = True

    def run(self) -> int:
        """The last agent's exit status, or `TOLD_TO_END` when the job ends."""
        crashes = Crashes()
        while True:
            began = time.monotonic()
            status = self._agent()
            if not crashed(status):
                return status
            lived_s = time.monotonic() - began
            pause_s = crashes.pause_s(lived_s)
            told = f"the agent {reason(status)}, {lived_s:.0f} s after its start"
            if pause_s is None:
                self._tell(f"{told}; it crashed {crashes.in_a_row} times in a row, so it is not started again")
                return status
            self._tell(told if self._leaving else f"{told}; it is started again in {pause_s:g} s")
            time.sleep(pause_s)
            if self._leaving:
                return TOLD_TO_END

    def _agent(self) -> int:
        with _shielded((*PREEMPTION, self._notice)):
            agent = AgentProcess(self._arguments, agent_environment(os.environ["STUDYHALL_STORAGE"]), self._log)
        try:
            while (status := agent.poll()) is None:
                if self._leaving:
                    agent.release()
                time.sleep(POLL_S)
            return status
        finally:
            agent.kill()  # workers that outlived it

    def _tell(self, line: str) -> None:
        with self._log.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')},000 WARNING {line}\n")


@contextlib.contextmanager
def _shielded(signals: tuple[signal.Signals, ...]) -> Iterator[None]:
    """Processes started inside never get the signals."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _come_back(job_id: str, notice: signal.Signals) -> None:
    """Have submitit queue the job again, and end; returns if the job was cancelled, or Slurm queues it again itself."""
    for _ in range(TRIES):
        try:
            if _state(job_id) != "RUNNING":
                return
            signal.raise_signal(notice)  # submitit's handler, which ends this process
        except (subprocess.SubprocessError, OSError) as error:
            print(f"the job could not be queued again: {error}", flush=True)  # noqa: T201 # to the job's own output
        time.sleep(TRY_S)


def _state(job_id: str) -> str:
    """The state of a job, or of a task of an array; nothing when Slurm has forgotten it."""
    words = ["squeue", "--noheader", "--jobs", job_id, "--format", "%T"]
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
