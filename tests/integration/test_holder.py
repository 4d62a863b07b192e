"""Events that a holder lends to the workers of its device; here the device is the CPU, and shared memory its memory."""

import contextlib
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from lab import ODD, Lab, until
from optuna.trial import TrialState
from pools import REFUSED, holder_of, meanwhile, outcome, pool_of, ready, users, workers_of

from storage.claims import Refusal
from storage.trials import open_storage
from study._crew import Crew
from study._forkserver import WorkersUnusable
from study._ledger import Ledger
from study._pool import Pool
from study.plan import build_plan
from study.stored import load_stored

PLAIN = {"search": {"pruner": "none"}}
SLOW = PLAIN | {"space": ODD | {"odd.pause": 0.05}, "training": {"epochs": 4}}
SMALL = "\nimport study._holder\nstudy._holder.free_bytes = lambda device: 1000\n"
REFUSED_AND_SMALL = REFUSED + "free = iter((10**12, 1000))\nstudy._holder.free_bytes = lambda device: next(free)\n"
BROKEN = """
import study._holder

def fail(device):
    raise RuntimeError("CUDA error: no such device")

study._holder.free_bytes = fail
"""
FROZEN = """
import os, signal, study._holder
study._holder.free_bytes = lambda device: os.kill(os.getpid(), signal.SIGSTOP)
"""
EMPTIED = """
import study._holder

class Emptied(study._holder.Resident):
    @classmethod
    def upload(cls, *arguments):
        made = super().upload(*arguments)
        for tensor in made.tensors:
            tensor.zero_()
        return made

study._holder.Resident = Emptied
"""
AGENT = """
import sys
import study._holding
from study.agent import Agent
study._holding.wants_holder = lambda device, residence: True
Agent(sys.argv[1], "q", workers=2, devices="cpu").run()
"""
MORTAL = "\nimport os, study._holder\nstudy._holder.free_bytes = lambda device: os._exit(1)\n"


@pytest.fixture(autouse=True)
def held(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPU devices get a holder, as GPUs do."""
    monkeypatch.setattr("study._holding.wants_holder", lambda device, residence: residence == "auto")


@pytest.fixture
def pool(lab: Lab) -> Iterator[Pool]:
    """Two workers, ready, that share one holder."""
    lab.create()
    with pool_of(lab, "cpu", "cpu") as started:
        assert ready(started)
        yield started


def shared(pid: int) -> set[str]:
    """The pieces of memory that a process shares by torch's handles: device and inode."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {" ".join(line.split()[3:5]) for line in lines if "/torch_" in line}


def test_the_workers_of_a_device_share_one_copy_of_the_events(pool: Pool) -> None:
    copies = [shared(worker.pid) for worker in pool.workers]

    assert len(copies[0]) == 2  # training and validation
    assert copies[0] == copies[1] == shared(holder_of(pool).pid)


def test_each_device_has_a_holder_of_its_own(lab: Lab) -> None:
    lab.create()
    with pool_of(lab, "cpu:0", "cpu:1") as pool:
        assert ready(pool)

        assert not shared(pool.workers[0].pid) & shared(pool.workers[1].pid)


def test_a_worker_that_is_killed_is_replaced_by_one_that_borrows_the_same_copy(pool: Pool) -> None:
    victim, holder = psutil.Process(pool.workers[0].pid), holder_of(pool)

    victim.kill()

    assert ready(pool, but=(victim.pid,))
    assert holder_of(pool) == holder
    assert shared(pool.workers[0].pid) == shared(holder.pid)


def test_when_a_holder_is_killed_its_workers_end_and_are_replaced(pool: Pool) -> None:
    before, holder = tuple(worker.pid for worker in pool.workers), holder_of(pool)

    holder.kill()

    assert ready(pool, but=before)
    assert holder_of(pool) != holder
    assert shared(pool.workers[0].pid) == shared(pool.workers[1].pid) == shared(holder_of(pool).pid)


def test_a_pool_leaves_no_process_and_no_shared_memory(lab: Lab) -> None:
    before = set(Path("/dev/shm").glob("torch_*"))
    lab.create()
    with pool_of(lab, "cpu", "cpu") as pool:
        assert ready(pool)
        pids = [holder_of(pool).pid, *(worker.pid for worker in pool.workers)]

    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert set(Path("/dev/shm").glob("torch_*")) <= before


def test_when_a_holder_is_killed_the_trials_resume_free_and_with_the_bits_of_a_study_without_one(lab: Lab) -> None:
    lab.create("q", budget={"trials": 2}, retry={"lost": 0}, **SLOW)
    lab.create("host", budget={"trials": 2}, **SLOW | {"data": {"device": "host"}})

    def kill() -> None:
        assert until(lambda: sum(bool(trial.values) for trial in lab.trials()) == 2)
        (server,) = {process.parent() for process in workers_of(lab)}
        assert server is not None
        (holder,) = {process for process in server.children() if shared(process.pid)} - set(workers_of(lab))
        holder.kill()

    killer = meanwhile(kill)
    ended = [lab.work("q"), lab.work("host")]
    killer.join()

    assert ended == [Refusal.DONE, Refusal.DONE]
    assert [(trial.state, trial.attempts) for trial in lab.trials()] == [(TrialState.COMPLETE, 2)] * 2
    assert outcome(lab.trials()) == outcome(lab.trials("host"))


@contextlib.contextmanager
def ledger_of(lab: Lab) -> Iterator[Ledger]:
    with contextlib.closing(open_storage(lab.url)) as storage:
        stored = load_stored(storage.database, "q")
        yield Ledger(storage, stored, build_plan(stored.config, stored.folder))


@pytest.mark.parametrize(
    ("patch", "says"),
    [
        ("", r"cpu holds the events \(0.00 GB\), one copy for all of its workers"),
        (SMALL, r"cpu does not hold the events, .*: the events take 0.00 GB, more than 70% of the 0.00 GB free"),
        (REFUSED, r"cpu holds the events \(0.00 GB\) once for each .*share its memory \(.*invalid resource handle\)"),
        (REFUSED_AND_SMALL, r"cpu does not hold the events, .*share its memory \(.*invalid resource handle\)"),
    ],
    ids=["held", "too large", "refused", "refused and too large for copies"],
)
def test_where_the_events_are_is_one_line_in_the_log(
    lab: Lab, caplog: pytest.LogCaptureFixture, patch: str, says: str
) -> None:
    users(lab, patch)
    lab.create(space=ODD, budget={"trials": 2}, **PLAIN)
    caplog.set_level(logging.INFO)

    ended = lab.work()

    assert ended is Refusal.DONE
    assert [trial.state for trial in lab.trials()] == [TrialState.COMPLETE] * 2
    assert len([message for message in caplog.messages if re.search(says, message)]) == 1


def test_a_refused_copy_is_given_up_before_the_workers_make_their_own(lab: Lab) -> None:
    users(lab, REFUSED)
    lab.create(space=ODD)
    with pool_of(lab, "cpu", "cpu") as pool:
        assert ready(pool)

        assert not shared(holder_of(pool).pid)


def test_a_device_that_its_holder_cannot_use_is_one_clear_error(lab: Lab) -> None:
    users(lab, BROKEN)
    lab.create(space=ODD)

    with (
        pool_of(lab, "cpu", "cpu") as pool,
        pytest.raises(WorkersUnusable, match=r"cannot be held on cpu: .*no such device"),
    ):
        ready(pool)


def test_trials_read_the_copy_that_is_lent(lab: Lab) -> None:
    lab.create("host", space=ODD, budget={"trials": 1}, **PLAIN | {"data": {"device": "host"}})
    assert lab.work("host") is Refusal.DONE
    users(lab, EMPTIED)
    lab.create(space=ODD, budget={"trials": 1}, **PLAIN)

    assert lab.work() is Refusal.DONE

    assert outcome(lab.trials()) != outcome(lab.trials("host"))


def test_a_holder_does_not_outlive_its_agent(lab: Lab) -> None:
    lab.create(budget={"trials": 2}, **SLOW)
    environment = {**os.environ, "LAB_MARK": lab.mark}
    agent = subprocess.Popen([sys.executable, "-c", AGENT, lab.url], env=environment)
    assert until(lambda: sum(bool(trial.values) for trial in lab.trials()) == 2)
    assert sum(bool(shared(process.pid)) for process in lab.processes()) == 3  # two workers and their holder

    agent.kill()
    agent.wait()

    assert lab.leaves_no_process()


def test_when_the_process_that_all_are_forked_from_is_killed_the_trials_resume_with_a_new_holder(lab: Lab) -> None:
    lab.create(budget={"trials": 2}, retry={"lost": 0}, **SLOW)

    def kill() -> None:
        assert until(lambda: sum(bool(trial.values) for trial in lab.trials()) == 2)
        (server,) = {process.parent() for process in workers_of(lab)}
        assert server is not None
        server.kill()

    killer = meanwhile(kill)
    ended = lab.work()
    killer.join()

    assert ended is Refusal.DONE
    assert [(trial.state, trial.attempts) for trial in lab.trials()] == [(TrialState.COMPLETE, 2)] * 2


def test_the_last_worker_of_a_device_takes_the_holder_along(lab: Lab) -> None:
    lab.create()
    with pool_of(lab, "cpu:0", "cpu:1") as pool:
        assert ready(pool)
        gone, left = pool.workers

        pool.remove(gone)

        assert gone.holder is not None
        assert left.holder is not None
        assert not psutil.pid_exists(gone.holder.process.pid)
        assert psutil.pid_exists(left.holder.process.pid)


def test_a_holder_that_hangs_is_given_up(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study._pool.READY_TIMEOUT_S", 2.0)
    monkeypatch.setattr("study._holding.MOST_DEATHS", 1)
    users(lab, FROZEN)
    lab.create(space=ODD)
    with pool_of(lab, "cpu", "cpu") as pool:
        pool.start(lambda: False)
        with ledger_of(lab) as ledger:
            crew = Crew(pool, ledger)

            def attended() -> bool:
                crew.listen(0.1, [])
                crew.end_overdue()
                return all(worker.warm for worker in pool.workers)

            assert until(attended)
        assert [worker.holder for worker in pool.workers] == [None, None]


def test_after_three_deaths_of_a_holder_its_workers_do_without(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    users(lab, MORTAL)
    lab.create(space=ODD, budget={"trials": 2}, **PLAIN)

    ended = lab.work()

    assert ended is Refusal.DONE
    assert [trial.state for trial in lab.trials()] == [TrialState.COMPLETE] * 2
    assert [message.rpartition("; ")[2] for message in caplog.messages if "holds the events on" in message] == [
        "it is started again",
        "it is started again",
        "each batch comes from the host now",
    ]
