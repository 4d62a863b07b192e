import os
import signal
import subprocess
import time

import psutil
import pytest
from lab import ODD, Lab, finished, until
from optuna.trial import TrialState

from storage.claims import Refusal

PLAN = {
    "space": ODD | {"odd.pause": 0.06},
    "training": {"epochs": 12},
    "search": {"pruner": "none"},
    "budget": {"trials": 2},
    "retry": {"lost": 5},
    "lease": {"seconds": 2, "renew": 1},
}
STARTED_S = 20.0
"""After so long a start that needed less processor time is over."""


def begun(lab: Lab, process: subprocess.Popen[str], trials: int = 1) -> bool:
    """Wait until so many trials have reported an epoch."""

    def reported() -> bool:
        return process.poll() is not None or sum(bool(trial.values) for trial in lab.trials()) >= trials

    return until(reported) and process.poll() is None


def interrupt(process: subprocess.Popen[str], how: str) -> None:
    if how == "process":
        process.send_signal(signal.SIGINT)
    else:  # what a terminal does
        os.killpg(process.pid, signal.SIGINT)


@pytest.mark.parametrize(("command", "how"), [("launch q.yaml", "process"), ("worker q", "group")])
def test_ctrl_c_hands_trials_back_and_the_next_agent_continues_them(lab: Lab, command: str, how: str) -> None:
    lab.create(**PLAN)
    process = lab.start(*command.split(), "--workers", "2")
    assert begun(lab, process, 2)

    interrupt(process, how)
    pressed = time.monotonic()
    status, output = finished(process)
    seconds = time.monotonic() - pressed

    waiting = lab.trials()
    assert status == 130, output
    assert "Traceback" not in output + lab.log()
    assert seconds < 15
    assert lab.leaves_no_process(2)
    assert lab.is_sound()
    assert [(trial.state, trial.attempt_state) for trial in waiting] == [(TrialState.RUNNING, "interrupted")] * 2

    ended_as = lab.work()

    ended = lab.trials()
    assert ended_as is Refusal.DONE
    assert [(trial.number, trial.state, trial.attempts) for trial in ended] == [
        (0, TrialState.COMPLETE, 2),
        (1, TrialState.COMPLETE, 2),
    ]
    for before, after in zip(waiting, ended, strict=True):
        assert after.parameters == before.parameters
        assert {epoch: after.values[epoch] for epoch in before.values} == before.values


@pytest.mark.parametrize("command", ["launch q.yaml", "worker q"])
def test_ctrl_c_twice_ends_everything_at_once_and_harms_nothing(lab: Lab, command: str) -> None:
    lab.create(**PLAN)
    process = lab.start(*command.split(), "--workers", "2")
    assert begun(lab, process)

    interrupt(process, "group")
    time.sleep(0.15)
    interrupt(process, "group")
    status, output = finished(process)

    assert status == 130, output
    assert lab.leaves_no_process(5)
    assert lab.is_sound()

    ended_as = lab.work()

    assert ended_as is Refusal.DONE
    assert [(trial.number, trial.state) for trial in lab.trials()] == [
        (0, TrialState.COMPLETE),
        (1, TrialState.COMPLETE),
    ]


def wait_worked(process: subprocess.Popen[str], seconds: float) -> None:
    """Wait until a process has used so much processor time, whatever the load, or starts on less than that."""
    seen = psutil.Process(process.pid)
    until(lambda: sum(seen.cpu_times()[:2]) >= seconds, STARTED_S)


@pytest.mark.parametrize("after_s", [0.6, 1.5, 3.0])
def test_ctrl_c_while_starting_ends_quietly(lab: Lab, after_s: float) -> None:
    lab.study(budget={"trials": 1000})  # not done before
    process = lab.start("launch", "q.yaml", "--workers", "1")
    wait_worked(process, after_s)

    interrupt(process, "group")
    status, output = finished(process)

    assert status == 130, output
    assert "Traceback" not in output
    assert lab.leaves_no_process(5)
