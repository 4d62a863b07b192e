"""Files cannot be fenced: a worker that wakes up after its trial was finished elsewhere must harm nothing."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from lab import ODD, Lab, finished, until
from optuna.trial import TrialState
from sqlalchemy import select, update

from storage import _optuna
from storage.clock import utc_now
from storage.database import Database
from storage.tables import ATTEMPTS
from study.files import WEIGHTS

FREEZES = """
if "FREEZES" in os.environ:
    from study import _checkpoints

    write = _checkpoints.write_file

    def write_and_freeze(place: str, content: bytes) -> None:
        write(place, content)
        if os.environ.pop("FREEZES", None):
            os.kill(os.getpid(), signal.SIGSTOP)

    _checkpoints.write_file = write_and_freeze
"""
"""Appended to a user's file: the first checkpoint is written, and the agent does not hear of it."""
WORKER = ("worker", "q", "--workers", "1", "--devices", "cpu")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    found = Lab(tmp_path / "lab")
    with (found.folder / "odd_family.py").open("a", encoding="utf-8") as file:
        file.write(FREEZES)
    yield found
    found.clean_up()


def rows(lab: Lab) -> list[list[Any]]:
    """All that the database holds of trials and attempts."""
    database = Database(lab.url)
    with database.read() as connection:
        tables = (ATTEMPTS, _optuna.TRIALS, *_optuna.TRIAL_CHILDREN)
        held: list[list[Any]] = [list(connection.execute(select(table))) for table in tables]
    database.close()
    return held


def files(lab: Lab) -> dict[str, str]:
    """What the trials have left, with a digest of each file."""
    found = [path for path in (lab.folder / "study-files").glob("q*/trial-*/**/*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def expire_leases(lab: Lab) -> None:
    database = Database(lab.url)
    with database.write() as connection:
        connection.execute(update(ATTEMPTS).values(expires_at=utc_now(-1.0)))
    database.close()


def stopped(process: psutil.Process) -> bool:
    return process.status() == psutil.STATUS_STOPPED


@pytest.mark.parametrize("first", ["worker", "agent"])
def test_a_worker_that_slept_between_its_checkpoint_and_the_word_of_it_touches_nothing_of_the_new_owner(
    lab: Lab, first: str
) -> None:
    lab.create(budget={"trials": 1}, space=ODD | {"odd.pause": 0.05}, training={"epochs": 4})
    running = lab.start(*WORKER, FREEZES="yes")
    assert until(lambda: [stopped(process) for process in lab.workers()] == [True])
    (sleeper,), agent = lab.workers(), psutil.Process(running.pid)
    (left,) = files(lab)
    agent.suspend()
    expire_leases(lab)
    assert lab.run(*WORKER)[0] == 0
    ended, kept = rows(lab), files(lab)

    for process in (sleeper, agent) if first == "worker" else (agent, sleeper):
        process.resume()
    code, output = finished(running)

    assert code == 0, output
    assert "trial 0, attempt 1: another agent has taken it over" in output
    assert Path(left).suffix == ".pt"
    assert rows(lab) == ended
    assert files(lab) == kept
    assert [Path(place).name for place in kept] == [WEIGHTS]
    assert not Path(left).parent.exists()
    (trial,) = lab.trials()
    assert (trial.state, trial.attempts, list(trial.values)) == (TrialState.COMPLETE, 2, [1, 2, 3, 4])
    assert lab.leaves_no_process()
