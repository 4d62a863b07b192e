import pickle
from pathlib import Path

import pytest
from submitit.slurm.slurm import SlurmJob

from study.launchers import slurm
from study.launchers._launcher import AgentOrder
from study.launchers._slurm_queue import Queue


class Jobs:
    """Two jobs of an array: what squeue says of them, what they have left, and what scancel is told."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[str] = []
        self.states: dict[int, str] = {}
        jobs = [SlurmJob(folder=folder / "slurm", job_id=f"17_{task}") for task in (0, 1)]
        self.paths = [job.paths for job in jobs]
        self.paths[0].folder.mkdir()
        monkeypatch.setattr(slurm, "Command", self.command)
        monkeypatch.setattr(Queue, "look", lambda queue, **_: dict(self.states))
        monkeypatch.setattr(slurm, "RESULT_S", -1.0)
        self.agents = slurm.SlurmAgents(
            jobs, AgentOrder("q", "postgresql://node0/studies", folder), "studyhall-q", f"{folder}/agent-%j.log"
        )

    def command(self, *words: str) -> "Jobs":
        self.said.append(" ".join(words))
        return self

    def status(self) -> int:
        return 0

    def wait(self, seconds: float) -> int:
        return 0

    def end(self, task: int, state: str, status: int | None = None) -> None:
        self.states[task] = state
        if status is not None:
            self.paths[task].result_pickle.write_bytes(pickle.dumps(("success", status)))


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    return Jobs(tmp_path, monkeypatch)


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "COMPLETING", "REQUEUED", "SUSPENDED", "REQUEUE_HOLD"])
def test_a_launch_goes_on_while_a_job_may_run_again(jobs: Jobs, state: str) -> None:
    jobs.end(0, "COMPLETED", 130)
    jobs.end(1, state)

    assert jobs.agents.poll() is None


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (("COMPLETED", 0), ("COMPLETED", 0), 0),
        (("COMPLETED", 0), ("COMPLETED", 2), 2),
        (("COMPLETED", 0), ("CANCELLED", None), 0),
        (("CANCELLED", 130), ("CANCELLED", None), 130),
        (("COMPLETED", 0), ("OUT_OF_MEMORY", None), 70),
        (("COMPLETED", 130), ("COMPLETED", 1), 1),
    ],
)
def test_a_launch_ends_with_the_worst_exit_status(
    jobs: Jobs, first: tuple[str, int | None], second: tuple[str, int | None], expected: int
) -> None:
    jobs.end(0, *first)
    jobs.end(1, *second)

    assert jobs.agents.poll() == expected


def test_jobs_that_slurm_has_forgotten_have_ended(jobs: Jobs) -> None:
    jobs.end(0, "COMPLETED", 0)
    jobs.end(1, "COMPLETED", 0)
    jobs.states.clear()

    assert jobs.agents.poll() == 0


def test_jobs_in_the_queue_are_cancelled_once_the_study_is_over(jobs: Jobs) -> None:
    jobs.end(0, "COMPLETED", 0)
    jobs.end(1, "PENDING")

    assert jobs.agents.poll() is None
    assert jobs.said == ["scancel 17"]
    jobs.end(1, "CANCELLED")
    assert jobs.agents.poll() == 0


def test_jobs_are_cancelled_when_asked_and_not_waited_for_when_asked_again(jobs: Jobs) -> None:
    jobs.states = {0: "RUNNING", 1: "RUNNING"}

    jobs.agents.interrupt()
    assert (jobs.agents.poll(), jobs.said) == (None, ["scancel 17"])
    jobs.agents.interrupt()
    assert (jobs.agents.poll(), jobs.said[1:]) == (130, ["scancel --full --signal=KILL 17"])


def test_after_a_closed_terminal_nothing_is_cancelled(jobs: Jobs) -> None:
    jobs.states = {0: "RUNNING", 1: "RUNNING"}

    jobs.agents.leave()

    assert jobs.agents.poll() == 130
    jobs.agents.interrupt()
    jobs.agents.kill()
    assert jobs.said == []


def test_the_log_is_that_of_an_agent_that_failed(jobs: Jobs, tmp_path: Path) -> None:
    assert "job 17 is submitted" in jobs.agents.log.read_text()
    for task in (0, 1):
        (tmp_path / f"agent-17_{task}.log").write_text("begun")
    jobs.end(0, "COMPLETED", 0)
    jobs.end(1, "COMPLETED", 2)

    assert jobs.agents.log == tmp_path / "agent-17_1.log"
