import pickle
import re
import shutil
import signal
from pathlib import Path
from typing import Any, ClassVar

import pytest

from storage.errors import ConfigError
from study.devices import PerDevice
from study.launchers import _crashes, _slurm_job, slurm
from study.launchers._agents_of import agents_of
from study.launchers._launcher import AgentOrder
from study.launchers._slurm_queue import Queue
from study.launchers._slurm_script import job_of, minutes, script_of

SECRET = "postgresql://me:s3cr3t@node0/studies"


def order(**changes: Any) -> AgentOrder:
    options = {"slurm-" + key.replace("_", "-"): str(value) for key, value in changes.pop("slurm", {}).items()}
    return AgentOrder(**{"study": "q", "storage": SECRET, "logs": Path(), "options": options, **changes})


def flags(**changes: Any) -> dict[str, str]:
    """The options of sbatch in the script."""
    return dict(re.findall(r"^#SBATCH --([a-z-]+)=?(.*)$", script_of(order(**changes)), re.MULTILINE))


@pytest.mark.parametrize(
    ("workers", "gpus", "per_device", "expected"),
    [
        (8, 1, 1, (8, 1)),
        (8, 4, 1, (2, 4)),
        (9, 4, 1, (3, 4)),
        (8, 2, 3, (2, 6)),
        (5, 0, 2, (3, 2)),
        (None, 4, 1, (1, 4)),
        (None, 2, "auto", (1, 8)),
        (9, 1, "auto", (3, 4)),
    ],
)
def test_trials_at_a_time_are_rounded_up_to_whole_agents(
    workers: int | None, gpus: int, per_device: PerDevice, expected: tuple[int, int]
) -> None:
    assert agents_of(order(workers=workers, gpus_per_agent=gpus, per_device=per_device)) == expected


def test_the_preview_says_how_many_and_shows_the_script() -> None:
    text = slurm.LAUNCHER.preview(order(workers=7, gpus_per_agent=2, slurm={"partition": "gpu", "time": 120}))

    assert "8 trials at a time: 4 agents × 2 slots (rounded up from 7)" in text
    assert "#SBATCH --partition=gpu" in text
    assert "#SBATCH --array=0-3%4" in text
    assert "LOGS/slurm" in text


def test_each_agent_is_a_task_with_its_gpus_and_comes_back() -> None:
    found = flags(workers=4, gpus_per_agent=2)

    assert (found["array"], found["gpus-per-node"], found["cpus-per-task"]) == ("0-1%2", "2", "4")
    assert (found["time"], found["signal"], found["requeue"]) == ("60", "USR2@90", "")
    assert found["ntasks-per-node"] == "1"


def test_a_job_runs_one_agent_with_all_its_cores_also_on_a_whole_node() -> None:
    command = script_of(order(workers=2, gpus_per_agent=2, slurm={"exclusive": "", "srun_args": "--mpi=none"}))

    assert "--ntasks=1 --cpus-per-task=4 --mpi=none" in command.split("# command")[1]


def test_agents_without_gpus_train_on_a_core_for_each_slot() -> None:
    found = flags(workers=6, gpus_per_agent=0, per_device=3)

    assert (found["array"], found["cpus-per-task"], "gpus-per-node" in found) == ("0-1%2", "3", False)
    assert job_of(order(workers=6, gpus_per_agent=0)).arguments[-3:] == ("--devices", "cpu", "--use-busy")


def test_any_option_of_slurm_is_passed_on() -> None:
    given = {
        "account": "hep",
        "reservation": "night",
        "exclusive": "",
        "gres": "gpu:a100:1",
        "setup": "module load cuda",
    }

    found, script = flags(slurm=given), script_of(order(slurm=given))

    assert (found["account"], found["reservation"], found["gres"]) == ("hep", "night", "gpu:a100:1")
    assert found["exclusive"] == ""
    assert "gpus-per-node" not in found
    assert "module load cuda\n" in script


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("ray-address", "^there is no option --ray-address to run on Slurm; accepted: --slurm-partition"),
        ("partition", "accepted"),
        ("slurm-nodes", "one task on one node"),
        ("slurm-array", "--slurm-array-parallelism"),
    ],
)
def test_other_options_are_refused_with_what_is_accepted(option: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        slurm.LAUNCHER.preview(order(options={option: "1"}))


@pytest.mark.parametrize(
    ("text", "expected"), [("90", 90), ("10:30", 11), ("02:00:00", 120), ("1-12", 2160), ("1-00:30:00", 1470)]
)
def test_times_are_read_as_slurm_reads_them(text: str, expected: int) -> None:
    assert minutes(text) == expected
    assert flags(slurm={"time": text})["time"] == str(expected)


@pytest.mark.parametrize("text", ["soon", "0", "", "1h"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="accepted are minutes"):
        minutes(text)


def test_a_job_that_shall_not_be_queued_again_is_not() -> None:
    found = flags(slurm={"no_requeue": ""})

    assert ("no-requeue" in found, "requeue" in found) == (True, False)


def test_a_short_job_is_told_when_a_quarter_of_its_time_is_left() -> None:
    assert flags(slurm={"time": 2})["signal"] == "USR2@30"
    assert flags(slurm={"time": 2, "signal_delay_s": 45})["signal"] == "USR2@45"


def test_the_database_is_neither_in_the_script_nor_in_what_is_pickled() -> None:
    job = job_of(order(workers=4))

    assert "s3cr3t" not in script_of(order(workers=4))
    assert b"s3cr3t" not in pickle.dumps(job)
    assert pickle.loads(pickle.dumps(job)) == job  # noqa: S301 # made a line ago
    assert job.checkpoint().function == job


def test_sqlite_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match="studyhall database start"):
        slurm.LAUNCHER.preview(order(storage="sqlite:///study.db"))


def test_a_host_without_slurm_shows_the_script_and_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)

    assert "there is no sbatch on this host" in slurm.LAUNCHER.preview(order())
    with pytest.raises(ConfigError, match="there is no sbatch on this host"):
        slurm.LAUNCHER.start(order())


def test_states_are_those_of_our_array_alone() -> None:
    queue = Queue("17", "studyhall-q")

    assert queue._states("17 0 RUNNING\n17 3 PENDING\n18 0 FAILED\n") == {0: "RUNNING", 3: "PENDING"}
    assert queue._states("17 N/A COMPLETED\n") == {0: "COMPLETED"}


def test_a_controller_that_does_not_answer_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\necho 17 0 RUNNING\nexit 1\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    queue = Queue("17", "studyhall-q")

    assert queue.look() is None
    assert queue._command is not None
    queue._command.wait(10)
    assert queue.look() is None


class Ended:
    """In place of an agent: each ends at once, with the next of these exit statuses."""

    statuses: ClassVar[list[int]] = []
    signals: ClassVar[set[signal.Signals]] = set()

    def __init__(self, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        Ended.signals = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self.released = False

    def poll(self) -> int:
        return Ended.statuses.pop(0)

    def release(self) -> None:
        self.released = True

    def kill(self) -> None:
        pass


@pytest.fixture
def shift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("STUDYHALL_STORAGE", SECRET)
    monkeypatch.setattr(_slurm_job, "AgentProcess", Ended)
    monkeypatch.setattr(_crashes, "FIRST_PAUSE_S", 0.0)
    return _slurm_job._Shift(("worker", "q"), tmp_path / "agent-1_0.log", signal.SIGUSR2)


def test_a_crashed_agent_is_started_again_in_its_job(shift: Any) -> None:
    Ended.statuses = [-9, 70, 0]

    assert shift.run() == 0
    assert "is started again" in shift._log.read_text()


def test_an_agent_that_crashes_three_times_in_a_row_is_given_up(shift: Any) -> None:
    Ended.statuses = [-11, -11, -11, 0]

    assert shift.run() == -11
    assert "3 times in a row" in shift._log.read_text()


def test_what_a_user_can_mend_is_not_tried_again(shift: Any) -> None:
    Ended.statuses = [2, 0]

    assert shift.run() == 2


def test_an_agent_that_crashes_while_its_job_ends_is_not_started_again(shift: Any) -> None:
    Ended.statuses = [-9, 0]
    shift.leave(signal.SIGTERM, None)

    assert shift.run() == 130


def test_signals_of_slurm_reach_the_job_and_not_its_agent(shift: Any) -> None:
    Ended.statuses = [0]

    shift.run()

    assert {signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2} <= Ended.signals
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
