"""What a worker needs before it trains, what it says meanwhile, and that saying it never holds it up."""

import subprocess
import sys
import time
from multiprocessing import Pipe

import pytest

from study._messages import Order, Progress, progress_s
from study._worker import _Agent
from study.config import WorkersSection


def test_a_worker_imports_no_database() -> None:
    imported = "import sys, study._worker, study._training; sys.exit('sqlalchemy' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", imported], check=False).returncode == 0


@pytest.mark.parametrize(("given", "stall_s"), [({}, 600.0), ({"stall": "2m"}, 120.0), ({"stall": None}, None)])
def test_a_silent_worker_is_given_up_after_ten_minutes_unless_the_study_says_otherwise(
    given: dict[str, object], stall_s: float | None
) -> None:
    assert WorkersSection.model_validate(given).stall == stall_s


@pytest.mark.parametrize(("stall_s", "every_s"), [(None, 5.0), (600.0, 5.0), (20.0, 5.0), (8.0, 2.0)])
def test_progress_is_told_four_times_before_a_worker_is_given_up(stall_s: float | None, every_s: float) -> None:
    assert progress_s(stall_s) == every_s


def test_progress_is_told_at_a_batch_only_when_nothing_was_said_for_some_time() -> None:
    ours, theirs = Pipe()
    agent = _Agent(theirs, progress_s=0.2)

    told = []
    for wait in (0.0, 0.0, 0.25, 0.0):
        time.sleep(wait)  # seconds: a batch
        assert not agent.wants_trial_back()
        told.append(ours.recv() if ours.poll() else None)

    assert told == [None, None, Progress(), None]


def test_a_worker_whose_agent_reads_nothing_trains_on_and_is_heard_later() -> None:
    ours, theirs = Pipe()
    agent = _Agent(theirs, progress_s=0.0)

    assert not any(agent.wants_trial_back() for _ in range(5000))
    ours.send(Order.HAND_BACK)

    assert agent.wants_trial_back()
    assert ours.recv() == Progress()
