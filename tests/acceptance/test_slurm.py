"""Agents on a real Slurm of four nodes; the launches are those of docs/slurm.md."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from lab import ODD, Lab, finished, until
from optuna.trial import TrialState
from slurm import GPUS, NODES, Cluster, cluster, commands, what_is_missing
from sqlalchemy import select

from storage.database import Database
from storage.tables import AGENTS, ATTEMPTS

pytestmark = pytest.mark.engine

LONG_S = 240.0
"""For what takes half a minute on an idle machine."""
LOOK_S = 0.5
"""Between two looks, which take the processor that agents need."""
EPOCHS = 8
CALM: dict[str, Any] = {
    "space": ODD | {"odd.pause": 0.25},  # ten seconds for a trial
    "training": {"epochs": EPOCHS},
    "search": {"pruner": "none"},
    "lease": {"seconds": 5, "renew": 1},
}
SLOW = {**CALM, "space": ODD | {"odd.pause": 1.0}}
OFTEN = "\nfrom study import _checkpoints\n\n_checkpoints.LEAST_S = 1.0\n"
"""Appended to a user's file: a trial of seconds leaves checkpoints, as one of minutes does."""
MISSING = what_is_missing()
Make = Callable[..., Lab]


@pytest.fixture(scope="module")
def four_nodes() -> Iterator[Cluster]:
    assert not MISSING, f"this test {MISSING}"
    with cluster() as made:
        yield made


@pytest.fixture
def slurm(four_nodes: Cluster) -> Iterator[Cluster]:
    """The cluster, on which no job of the test outlives it."""
    yield four_nodes
    for job_id in {job_id.partition("_")[0] for job_id, _, _ in four_nodes.jobs()}:
        four_nodes.run("scancel", "--full", "--signal=KILL", job_id)
        four_nodes.run("scancel", job_id)
    assert until(lambda: not four_nodes.jobs())


@pytest.fixture
def lab(make_lab: Make, slurm: Cluster, postgresql_url: str) -> Lab:
    """A lab whose database agents on all nodes can reach."""
    made = make_lab(url=postgresql_url)
    with (made.folder / "odd_family.py").open("a", encoding="utf-8") as file:
        file.write(OFTEN)
    return made


def start(lab: Lab, slurm: Cluster, workers: int, *more: str) -> subprocess.Popen[str]:
    """The page's launch, on fake GPUs that torch cannot use."""
    _, command = commands("Launch")
    words = [str(workers) if word == "8" else word for word in command]
    return lab.start(*words, "--devices", "cpu", *more, **slurm.environment)


def eventually(holds: Callable[[], bool]) -> bool:
    """As `until`, for what takes long."""

    def looked() -> bool:
        time.sleep(LOOK_S)
        return holds()

    return until(looked, LONG_S)


def rows(lab: Lab, table: Any) -> list[Any]:
    database = Database(lab.url)
    with database.read() as connection:
        found = connection.execute(select(table)).all()
    database.close()
    return list(found)


def agents(lab: Lab) -> list[psutil.Process]:
    """The agents that run, without their forks."""
    return [found for found in lab.processes("-m study worker", "--supervised") if "forkserver" not in str(found)]


def begun(lab: Lab, process: subprocess.Popen[str], trials: int) -> bool:
    """Wait until so many trials run that have left a checkpoint."""

    def running() -> bool:
        found = [row for row in rows(lab, ATTEMPTS) if row.state.value == "running" and row.checkpoint]
        return process.poll() is not None or len(found) >= trials

    return eventually(running) and process.poll() is None


def training(lab: Lab) -> list[tuple[str, str, int]]:
    """Each job that trains a trial for the first time and has left a checkpoint: its id, its node, and the trial."""
    pids = {row.agent_id: row.pid for row in rows(lab, AGENTS)}
    found = []
    for row in rows(lab, ATTEMPTS):
        if row.state.value == "running" and row.attempt == 1 and row.checkpoint:
            with contextlib.suppress(psutil.NoSuchProcess):
                variables = psutil.Process(pids[row.agent_id]).environ()
                job_id = f"{variables['SLURM_ARRAY_JOB_ID']}_{variables['SLURM_ARRAY_TASK_ID']}"
                found.append((job_id, variables["SLURMD_NODENAME"], row.trial_id))
    return found


def restarts(slurm: Cluster, job_id: str) -> int:
    shown = re.search(r"Restarts=(\d+)", slurm.run("scontrol", "show", "job", job_id))
    return int(shown[1]) if shown else 0


def said(lab: Lab) -> str:
    """What agents, jobs and daemons have written."""
    files = [path for path in sorted(lab.folder.glob("files/*/logs/**/*")) if path.suffix in (".log", ".err", ".out")]
    return "".join(f"{path.name}\n{path.read_text()}\n" for path in files)


def ends_exactly(lab: Lab, slurm: Cluster, process: subprocess.Popen[str], trials: int) -> bool:
    """Whether the launch does well and every trial of the budget has one end and one whole curve."""

    def ended() -> bool:
        slurm.hurry()
        return process.poll() is not None

    assert eventually(ended), said(lab)
    status, output = finished(process)
    assert status == 0, output + said(lab)
    return is_exact(lab, trials)


def is_exact(lab: Lab, trials: int) -> bool:
    found = lab.trials()
    assert [(row.number, row.state) for row in found] == [(number, TrialState.COMPLETE) for number in range(trials)]
    return all(list(row.values) == list(range(1, EPOCHS + 1)) for row in found)


def handed_back(lab: Lab) -> dict[int, str]:
    """How each attempt ended that was not the trial's last; those had written a checkpoint."""
    last = {row.trial_id: row.attempts for row in lab.trials()}
    before = [row for row in rows(lab, ATTEMPTS) if row.attempt < last[row.trial_id]]
    assert all(row.checkpoint for row in before)
    assert set(last.values()) <= {1, 2}
    return {row.trial_id: row.state.value for row in before}


def test_eight_agents_share_the_gpus_of_four_nodes_and_one_budget(lab: Lab, slurm: Cluster) -> None:
    lab.create(budget={"trials": 8}, **CALM)
    look, _ = commands("Launch")
    status, output = lab.run(*look, **slurm.environment)
    assert (status, "8 trials at a time: 8 agents × 1 slots" in output) == (0, True), output
    assert "#SBATCH --array=0-7%8" in output
    assert lab.run("pause", "q")[0] == 0

    process = start(lab, slurm, 8)
    assert eventually(lambda: len(rows(lab, AGENTS)) == 8), said(lab)
    environments = [agent.environ() for agent in agents(lab)]
    assert lab.run("resume", "q")[0] == 0

    assert ends_exactly(lab, slurm, process, 8)
    gpus = {(found["SLURMD_NODENAME"], found["CUDA_VISIBLE_DEVICES"]) for found in environments}
    assert gpus == {(node, str(gpu)) for node in NODES for gpu in range(GPUS)}
    assert len({row.agent_id for row in lab.trials()}) == 8
    assert not any("postgresql" in " ".join(found.cmdline()) for found in lab.processes())
    script = next(lab.folder.glob("files/*/logs/slurm/*_submission.sh")).read_text()
    assert "postgresql" not in script
    assert lab.leaves_no_process()


def test_whatever_ends_a_job_its_trial_goes_on_and_the_job_comes_back(lab: Lab, slurm: Cluster) -> None:
    lab.create(budget={"trials": 6}, **SLOW)
    process = start(lab, slurm, 4, "--slurm-exclusive", "--slurm-signal-delay-s", "900")
    assert begun(lab, process, 4), said(lab)
    assert len({node for _, node, _ in training(lab)}) == 4

    limited, _, trial_of_limited = training(lab)[0]
    slurm.run("scontrol", "update", f"JobId={limited}", "TimeLimit=10")
    assert eventually(lambda: restarts(slurm, limited) == 1), said(lab)
    slurm.run("scontrol", "update", f"JobId={limited}", "TimeLimit=60")

    def others() -> list[tuple[str, str, int]]:
        return [found for found in training(lab) if found[0] != limited]

    assert eventually(lambda: len(others()) == 3), said(lab)
    requeued, preempted, died = others()
    slurm.lose(died[1])
    slurm.run("scontrol", "requeue", requeued[0])
    urgent = f"--partition=urgent --nodelist={preempted[1]} --gpus-per-node={GPUS} --output=/dev/null --wrap=true"
    slurm.run("sbatch", *urgent.split())

    try:
        assert ends_exactly(lab, slurm, process, 6)
    finally:
        slurm.start_node(died[1])
    ended = dict.fromkeys([trial_of_limited, requeued[2], preempted[2]], "interrupted")
    assert handed_back(lab) == {**ended, died[2]: "lost"}
    assert [restarts(slurm, job_id) for job_id in (limited, requeued[0], preempted[0], died[0])] == [1] * 4
    assert lab.leaves_no_process()


def test_ctrl_c_and_scancel_hand_trials_back_and_jobs_outlive_their_launcher(lab: Lab, slurm: Cluster) -> None:
    lab.create(budget={"trials": 4}, **CALM)
    (on_cores,) = [command for command in commands("How many") if "cpu" in command]
    process = lab.start(*["gpu" if word == "cpu" else word for word in on_cores], **slurm.environment)
    assert begun(lab, process, 2)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does
    status, output = finished(process)

    assert status == 130, output + said(lab)
    assert {row.attempt_state for row in lab.trials() if row.state is TrialState.RUNNING} == {"interrupted"}
    assert lab.leaves_no_process()
    assert not slurm.jobs()

    process = start(lab, slurm, 2)
    assert begun(lab, process, 1)
    slurm.run("scancel", slurm.jobs()[0][0].partition("_")[0])
    status, output = finished(process)

    assert status == 130, output + said(lab)
    assert "interrupted" in {row.attempt_state for row in lab.trials() if row.state is TrialState.RUNNING}
    assert lab.leaves_no_process()

    process = start(lab, slurm, 2)
    assert eventually(lambda: len(agents(lab)) == 2)
    os.killpg(process.pid, signal.SIGHUP)  # the terminal is closed
    status, output = finished(process)

    assert status == 130, output
    assert len(slurm.jobs("RUNNING")) == 2
    assert eventually(lambda: not slurm.jobs()), said(lab)
    assert is_exact(lab, 4)
    assert "Traceback" not in said(lab)
