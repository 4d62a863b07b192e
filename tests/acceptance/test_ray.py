"""Agents on real Ray clusters; the commands are those of docs/ray.md."""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab import ODD, Lab, finished, until
from optuna.trial import TrialState
from ray_cluster import ENVIRONMENT, Nodes, all_have_begun, commands, gpus_of, nodes, what_is_missing
from sqlalchemy import select

from storage.database import Database
from storage.tables import AGENTS, ATTEMPTS
from study._artifact_names import LOG, artifact_id

pytestmark = pytest.mark.engine

LONG_S = 240.0
"""For what takes half a minute on an idle machine."""
EPOCHS = 8
CALM: dict[str, Any] = {
    "space": ODD | {"odd.pause": 0.25},  # ten seconds for a trial
    "training": {"epochs": EPOCHS},
    "search": {"pruner": "none"},
    "lease": {"seconds": 5, "renew": 1},
}
OFTEN = "\nfrom study import _checkpoints\n\n_checkpoints.LEAST_S = 1.0\n"
"""Appended to a user's file: a trial of seconds leaves checkpoints, as one of minutes does."""
PASSWORD = "s3cr3t-word"
MISSING = what_is_missing()
Make = Callable[..., Lab]


@pytest.fixture(autouse=True)
def _ray_is_installed() -> None:
    assert not MISSING, f"this test {MISSING}"


@pytest.fixture(scope="module")
def three_nodes() -> Iterator[Nodes]:
    assert not MISSING, f"this test {MISSING}"
    with nodes() as made:
        yield made


@pytest.fixture
def lab_of_nodes(make_lab: Make, three_nodes: Nodes, postgresql_url: str) -> Lab:
    made = make_lab(url=postgresql_url.replace("postgres@", f"postgres:{PASSWORD}@"))
    with (made.folder / "odd_family.py").open("a", encoding="utf-8") as file:
        file.write(OFTEN)
    return made


def begun(lab: Lab, process: subprocess.Popen[str], trials: int) -> bool:
    """Wait until so many trials run that have reported an epoch."""

    def reported() -> bool:
        running = [trial for trial in lab.trials() if trial.attempt_state == "running" and trial.values]
        return process.poll() is not None or len(running) >= trials

    return until(reported, LONG_S) and process.poll() is None


def exact(lab: Lab, trials: int) -> bool:
    """Whether every trial of the budget has one end and one whole curve."""
    rows = lab.trials()
    assert [(row.number, row.state) for row in rows] == [(number, TrialState.COMPLETE) for number in range(trials)]
    return all(list(row.values) == list(range(1, EPOCHS + 1)) for row in rows)


def said(lab: Lab) -> str:
    """What agents and launchers have logged; the folder is that of the weights."""
    return "".join(path.read_text(encoding="utf-8") for path in sorted(lab.folder.rglob("agent-*.log")))


def first_epoch(lab: Lab, token: str) -> int:
    """The epoch with which an attempt began."""
    (log,) = lab.folder.rglob(artifact_id(LOG, token))
    found = re.search(r"epoch (\d+):", log.read_text(encoding="utf-8"))
    assert found is not None
    return int(found[1])


def rows(lab: Lab, table: Any, *order: Any) -> list[Any]:
    database = Database(lab.url)
    with database.read() as connection:
        found = connection.execute(select(table).order_by(*order)).all()
    database.close()
    return list(found)


def attempts_of(lab: Lab, agents: list[Any]) -> list[Any]:
    """Running attempts of the agents with these processes, which have left a checkpoint."""
    pids = {agent.pid for agent in agents}
    ids = {row.agent_id for row in rows(lab, AGENTS) if row.pid in pids}
    running = [row for row in rows(lab, ATTEMPTS) if row.state == "running" and row.agent_id in ids]
    return [row for row in running if row.checkpoint]


def test_ctrl_c_hands_trials_back_and_the_same_command_completes_the_budget(lab: Lab) -> None:
    lab.create(budget={"trials": 5}, **CALM)
    (command,) = commands("On one machine")
    process = lab.start(*command, **ENVIRONMENT)
    assert begun(lab, process, 2)

    os.killpg(process.pid, signal.SIGINT)  # what a terminal does
    status, output = finished(process)

    waiting = [trial for trial in lab.trials() if trial.attempts]
    assert status == 130, output
    assert "Traceback" not in output + lab.log()
    assert lab.leaves_no_process()
    assert {(trial.state, trial.attempt_state) for trial in waiting} == {(TrialState.RUNNING, "interrupted")}

    status, output = lab.run(*command, **ENVIRONMENT)

    assert (status, exact(lab, 5)) == (0, True), output
    assert [trial.attempts for trial in lab.trials()] == [2] * len(waiting) + [1] * (5 - len(waiting))
    assert lab.leaves_no_process()


def test_when_the_launcher_is_killed_its_own_cluster_ends_and_trials_are_handed_back(lab: Lab) -> None:
    lab.create(budget={"trials": 4}, **CALM)
    process = lab.start("launch", "q.yaml", "--on", "ray", "--gpus-per-agent", "0", "--workers", "1", **ENVIRONMENT)
    assert begun(lab, process, 1)

    process.kill()
    process.communicate()

    assert lab.leaves_no_process(30), lab.processes()
    assert [trial.attempt_state for trial in lab.trials()] == ["interrupted"]


def test_when_the_launcher_is_killed_its_agents_on_a_cluster_hand_back_and_free_its_gpus(
    lab_of_nodes: Lab, three_nodes: Nodes
) -> None:
    lab = lab_of_nodes
    lab.create(budget={"trials": 4}, **CALM)
    launch = ("launch", "q.yaml", "--on", "ray", "--ray-address", "auto", "--devices", "cpu", "--workers", "2")
    process = lab.start(*launch, **three_nodes.environment)
    assert begun(lab, process, 2)

    process.kill()
    process.communicate()

    assert until(lambda: not three_nodes.of_studyhall(), 30), three_nodes.of_studyhall()
    assert [trial.attempt_state for trial in lab.trials()] == ["interrupted"] * 2
    assert lab.leaves_no_process(0.1)


def test_trials_of_a_node_that_is_lost_go_on_elsewhere_from_their_checkpoints(
    lab_of_nodes: Lab, three_nodes: Nodes
) -> None:
    lab = lab_of_nodes
    lab.create(budget={"trials": 8}, **CALM)
    look, command = commands("On a cluster")
    status, output = lab.run(*look, **three_nodes.environment)
    assert (status, "3 nodes with 6 CPUs and 6 GPUs" in output, "warning" in output) == (0, True, False), output

    process = lab.start(*command, "--devices", "cpu", **three_nodes.environment)
    assert all_have_begun(three_nodes, 4)
    placed = three_nodes.agents()
    assert max(map(len, placed)) == 2
    assert all(len({gpus_of(agent) for agent in found}) == len(found) for found in placed)

    number = next(number for number in (2, 1) if placed[number])
    assert until(lambda: len(attempts_of(lab, placed[number])) == len(placed[number]), LONG_S), said(lab)
    lost = attempts_of(lab, placed[number])
    three_nodes.lose(number)
    status, output = finished(process)

    assert (status, exact(lab, 8)) == (0, True), output + said(lab)
    again = [trial for trial in lab.trials() if trial.attempts > 1]
    assert {trial.trial_id: trial.attempts for trial in again} == {row.trial_id: 2 for row in lost}
    assert all(first_epoch(lab, str(trial.token)) > 1 for trial in again)
    assert "is started again where the cluster has room" in said(lab)
    assert PASSWORD not in three_nodes.said() + said(lab) + output
    assert until(lambda: not three_nodes.of_studyhall())
    assert lab.leaves_no_process()
