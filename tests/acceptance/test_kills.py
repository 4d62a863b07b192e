import os
import subprocess
import sys

import psutil
from lab import ODD, Lab, finished, until
from optuna.trial import TrialState

from storage.claims import Refusal
from study.launchers._agent_process import CRASHED

PLAN = {
    "space": ODD | {"odd.pause": 0.06},
    "training": {"epochs": 4},
    "search": {"pruner": "none"},
    "budget": {"trials": 3},
    "lease": {"seconds": 2, "renew": 1},
}


def begun(lab: Lab, process: subprocess.Popen[str]) -> bool:
    """Wait until two trials have reported an epoch."""

    def reported() -> bool:
        return process.poll() is not None or sum(bool(trial.values) for trial in lab.trials()) >= 2

    return until(reported) and process.poll() is None


def finishes(lab: Lab) -> bool:
    """Whether the next agent completes the budget exactly."""
    assert lab.work() is Refusal.DONE
    return [(trial.number, trial.state) for trial in lab.trials()] == [
        (number, TrialState.COMPLETE) for number in range(3)
    ]


def agents(lab: Lab) -> list[psutil.Process]:
    """Those that a launcher has started."""
    return [found for found in lab.processes("--supervised") if "forkserver" not in " ".join(found.cmdline())]


def test_a_killed_agent_is_started_again_and_the_study_goes_on(lab: Lab) -> None:
    lab.create(**PLAN)
    process = lab.start("launch", "q.yaml", "--workers", "2")
    assert begun(lab, process)

    (agent,) = agents(lab)
    agent.kill()
    status, output = finished(process)

    assert status == 0, output
    assert [trial.state for trial in lab.trials()] == [TrialState.COMPLETE] * 3
    assert "the agent was killed by SIGKILL; memory may have run out" in lab.log()
    assert "it is started again in 1 s" in lab.log()
    assert lab.leaves_no_process(5)


def test_an_agent_that_crashes_again_and_again_is_given_up_with_the_reason(lab: Lab) -> None:
    lab.create(**PLAN)
    process = lab.start("launch", "q.yaml", "--workers", "2")
    for _ in range(3):
        assert until(lambda: agents(lab) != [])
        agents(lab)[0].kill()
        assert until(lambda: agents(lab) == [])
    status, output = finished(process)

    assert status == 1
    assert "the agent ended with an error" in output
    assert "was killed by SIGKILL" in output
    assert "3 times in a row" in output
    assert lab.leaves_no_process(5)
    assert finishes(lab)


def test_when_the_launcher_is_killed_its_agent_ends_in_good_order(lab: Lab) -> None:
    lab.create(**PLAN)
    process = lab.start("launch", "q.yaml", "--workers", "2")
    assert begun(lab, process)

    process.kill()
    process.communicate()

    assert lab.leaves_no_process(20)
    assert [trial.attempt_state for trial in lab.trials()] == ["interrupted"] * 2
    assert lab.is_sound()
    assert finishes(lab)


def test_no_worker_outlives_a_killed_agent_neither_in_an_endless_loop_nor_frozen(lab: Lab) -> None:
    lab.create(space=ODD | {"odd.mood": "loop"}, budget={"trials": 2})
    process = lab.start("worker", "q", "--workers", "2")
    assert until(lambda: sum(worker.cpu_times().user > 0.5 for worker in lab.workers()) == 2)
    lab.workers()[0].suspend()

    process.kill()
    process.communicate()

    assert lab.leaves_no_process(5)


CRASHES = """
import sys
from study.agent import Agent
from study.cli import main

def run(self):
    raise RuntimeError("a mistake of ours")

Agent.run = run
sys.argv = ["studyhall", "worker", "q", "--workers", "1", "--devices", "cpu"]
main()
"""


def test_an_agents_own_error_is_told_apart_from_what_a_user_can_mend(lab: Lab) -> None:
    lab.create(**PLAN)

    crash = subprocess.run(
        [sys.executable, "-c", CRASHES],
        cwd=lab.folder,
        env={**os.environ, "STUDYHALL_STORAGE": lab.url},
        capture_output=True,
        text=True,
        check=False,
    )
    missing = lab.run("worker", "another")

    assert crash.returncode == CRASHED
    assert "RuntimeError: a mistake of ours" in crash.stderr
    assert missing[0] == 2
