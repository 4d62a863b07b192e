"""Agents as an array job of Slurm, each a task with its GPUs; the jobs go on when the launcher is gone."""

import contextlib
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from storage._url import database_url
from storage.errors import ConfigError
from study._signals import take
from study.launchers._agent_process import CRASHED, TOLD_TO_END
from study.launchers._agents_of import agents_of
from study.launchers._launcher import AgentOrder
from study.launchers._slurm_queue import ENDED, Command, Queue
from study.launchers._slurm_script import executor_of, installed, job_of, script_of

RESULT_S = 15.0
"""For the result of a job that has ended to be seen on a shared file system."""
KILL_S = 10.0
"""For Slurm to accept that jobs are cancelled."""


class SlurmAgents:
    """The agents of one launch: an array of jobs.

    Attributes:
        job_id: Of the array.
    """

    def __init__(self, jobs: Sequence[Any], order: AgentOrder, name: str, pattern: str) -> None:
        """Take them over as they have been submitted.

        Args:
            jobs: Of submitit, one of each agent.
            order: What they do.
            name: The job's name.
            pattern: Path of the agents' logs; ``%j`` stands for a job's id.
        """
        self.job_id: str = jobs[0].job_id.partition("_")[0]
        self._paths = [job.paths for job in jobs]
        self._logs = [Path(pattern.replace("%j", job.job_id)) for job in jobs]
        self._notes = Path(pattern.replace("%j", self.job_id))
        self._queue = Queue(self.job_id, name)
        self._states = dict.fromkeys(range(len(jobs)), "PENDING")
        self._asked, self._enough = 0, False
        self._cancel: Command | None = None
        self._ended_at: float | None = None
        self._status: int | None = None
        agents, slots = agents_of(order)
        self._note(f"INFO job {self.job_id} is submitted to Slurm: {agents} × {slots} trials at a time")

    @property
    def log(self) -> Path:
        """Of an agent that failed if one has, else of the first that has begun, else what the launcher has noted."""
        failed = [task for task in range(len(self._logs)) if self._result(task) not in (None, 0, TOLD_TO_END)]
        paths = [path for task in failed for path in (self._logs[task], self._paths[task].stderr)]
        return next((path for path in (*paths, *self._logs) if path.is_file()), self._notes)

    def poll(self) -> int | None:
        """The worst exit status, or None while a task runs, waits, or waits again."""
        if self._status is not None:
            return self._status
        seen = self._queue.look(soon=self._asked > 0 or self._enough or self._ended_at is not None)
        if seen is None:
            return None
        self._states = {task: seen.get(task, self._last(task)) for task in self._states}
        active = {state for state in self._states.values() if state not in ENDED}
        if active:
            self._ended_at = None
            self._cancel_what_waits(active)
            self._repeat_cancel()
        elif self._results_are_there():
            self._status = self._worst()
        return self._status

    def _last(self, task: int) -> str:
        """The state of a task that Slurm has forgotten, which it does only after its end."""
        return self._states[task] if self._states[task] in ENDED else "COMPLETED"

    def _cancel_what_waits(self, active: set[str]) -> None:
        """Jobs in the queue are not waited for when an agent has seen the study's end and no other runs."""
        if active == {"PENDING"} and not self._enough and 0 in map(self._result, self._states):
            self._note("INFO the study is over: jobs that still wait in the queue are cancelled")
            self._enough = True
            self._cancel = Command("scancel", self.job_id)

    def _repeat_cancel(self) -> None:
        if self._cancel is not None and self._cancel.status() not in (None, 0):
            self._cancel = Command("scancel", self.job_id)

    def _results_are_there(self) -> bool:
        self._ended_at = self._ended_at or time.monotonic()
        late = time.monotonic() > self._ended_at + RESULT_S
        ended_well = [task for task, state in self._states.items() if state == "COMPLETED"]
        return late or all(self._result(task) is not None for task in ended_well)

    def _result(self, task: int) -> int | None:
        """A task's exit status, as submitit has written it."""
        path: Path = self._paths[task].result_pickle
        with contextlib.suppress(OSError):
            path.parent.chmod(path.parent.stat().st_mode)  # else NFS may not look for new files
        if not path.is_file():
            return None
        kind, result = installed().core.utils.pickle_load(path)
        return int(result) if kind == "success" else CRASHED

    def _worst(self) -> int:
        statuses = [self._status_of(task) for task in self._states]
        if 0 in statuses and set(statuses) <= {0, TOLD_TO_END}:
            return 0  # one has seen the study's end, so that no other is missed
        return max(statuses, key=lambda status: (status != 0) + (status not in (0, TOLD_TO_END)))

    def _status_of(self, task: int) -> int:
        result, state = self._result(task), self._states[task]
        if result is not None:
            return result
        if state in ("CANCELLED", "PREEMPTED") or self._asked:
            return TOLD_TO_END
        self._note(f"ERROR job {self.job_id}_{task} ended without a result: {state}; see {self._paths[task].folder}")
        return CRASHED

    def interrupt(self) -> None:
        """Cancel the jobs: Slurm sends SIGTERM, and SIGKILL some time later; asked again, they are not waited for."""
        if self._status is not None:
            return
        self._asked += 1
        if self._asked == 1:
            self._note("INFO the jobs are cancelled: agents hand their trials back")
            self._cancel = Command("scancel", self.job_id)
        else:
            Command("scancel", "--full", "--signal=KILL", self.job_id).wait(KILL_S)
            self._status = TOLD_TO_END

    def kill(self) -> None:
        """Cancel what is left."""
        if self._status is None:
            self._status = TOLD_TO_END
            Command("scancel", self.job_id).wait(KILL_S)

    def leave(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Follow the jobs no longer; they go on. May be a signal's handler."""
        if self._status is None:
            self._status = TOLD_TO_END

    def _note(self, line: str) -> None:
        self._notes.parent.mkdir(parents=True, exist_ok=True)
        level, _, text = line.partition(" ")
        with self._notes.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')},000 {level} {text}\n")


class SlurmLauncher:
    """Submits agents to Slurm."""

    def preview(self, order: AgentOrder) -> str:
        """Say how many agents are submitted, and the script."""
        if database_url(order.storage).get_backend_name() == "sqlite":
            raise ConfigError(
                "an SQLite database serves one host, and jobs of Slurm run on several: start a server with `studyhall "
                "database start` and give its address as --storage or STUDYHALL_STORAGE"
            )
        script, (agents, slots) = script_of(order), agents_of(order)
        rounded = "" if order.workers in (None, agents * slots) else f" (rounded up from {order.workers})"
        lines = [f"{agents * slots} trials at a time: {agents} agents × {slots} slots{rounded}"]
        if order.logs == Path():
            lines[0] += "; LOGS is the folder of the study's logs"
        if shutil.which("sbatch") is None:
            lines.append("warning: there is no sbatch on this host; launch where Slurm is")
        return "\n".join([*lines, "", script])

    def start(self, order: AgentOrder) -> SlurmAgents:
        """Submit the agents; a closed terminal ends the launcher, and not the jobs."""
        if shutil.which("sbatch") is None:
            raise ConfigError("there is no sbatch on this host; launch where Slurm is, or --on local")
        executor, job, (agents, _) = executor_of(order), job_of(order), agents_of(order)
        submitit = installed()
        refusals = (submitit.core.utils.UncompletedJobError, submitit.core.utils.FailedSubmissionError)
        try:
            with submitit.helpers.environment_variables(STUDYHALL_STORAGE=order.storage):
                jobs = executor.submit_array([job] * agents)
        except refusals as error:
            raise ConfigError(f"Slurm refuses the job: {str(error).strip()}") from None
        started = SlurmAgents(jobs, order, str(executor.parameters["job_name"]), job.log)
        take((signal.SIGHUP,), started.leave)
        return started


LAUNCHER = SlurmLauncher()
