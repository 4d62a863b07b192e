"""Events that one process holds on a GPU and lends to the GPU's workers."""

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import psutil
import pynvml
import pytest
from lab import CNN, ODD, Lab, until
from optuna.trial import TrialState
from pools import REFUSED, holder_of, meanwhile, outcome, pool_of, ready, users, workers_of

from storage.claims import Refusal

pytestmark = pytest.mark.gpu

GPU = "cuda:0"
SHARE = {"workers": {"per_device": 4}, "search": {"pruner": "none"}}
LARGE = 3 * 2**30
"""Bytes of events: more than two CUDA contexts."""
OWNS_NOTHING = """
import sys, torch
from study.agent import Agent
Agent(sys.argv[1], "q", workers=2, devices="cuda:0", use_busy=True).run()
sys.exit(torch.cuda.is_initialized())
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    found = Lab(tmp_path / "lab")
    yield found
    found.clean_up()


def used_bytes() -> int:
    """Of the first visible GPU's memory, by all processes."""
    pynvml.nvmlInit()
    try:
        return int(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0)).used)
    finally:
        pynvml.nvmlShutdown()


def write_large(lab: Lab) -> None:
    """Events of which each copy on a GPU shows."""
    shape = (LARGE // (32 * 32 * 16 * 4), 32, 32, 16)
    with h5py.File(lab.folder / "events.h5", "w") as file:
        events = file.create_dataset("event_data", shape, np.float32)
        for start in range(0, shape[0], 4096):
            events[start : start + 4096] = 1.0
        file["labels"] = np.arange(shape[0]) % 3


def used_by(lab: Lab, workers: int) -> int:
    before = used_bytes()
    with pool_of(lab, *[GPU] * workers) as pool:
        assert ready(pool)
        return used_bytes() - before


def test_the_workers_of_a_gpu_share_one_copy_of_the_events(lab: Lab) -> None:
    write_large(lab)
    lab.create(**SHARE)

    one, three = used_by(lab, 1), used_by(lab, 3)

    assert one > 0.9 * LARGE  # the test part is not held
    assert three - one < 0.9 * LARGE


def test_a_worker_that_is_killed_is_replaced_by_one_that_borrows_the_same_copy(lab: Lab) -> None:
    lab.create(**SHARE)
    with pool_of(lab, GPU, GPU) as pool:
        assert ready(pool)
        victim, holder = psutil.Process(pool.workers[0].pid), holder_of(pool)

        victim.kill()

        assert ready(pool, but=(victim.pid,))
        assert holder_of(pool) == holder


def test_when_a_holder_is_killed_the_trials_resume_free_and_with_the_bits_of_a_study_without_one(lab: Lab) -> None:
    plan = SHARE | {"space": ODD | {"odd.pause": 0.05}, "training": {"epochs": 4}, "budget": {"trials": 2}}
    lab.create(retry={"lost": 0}, **plan)
    lab.create("host", **plan | {"data": {"device": "host"}})

    def kill() -> None:
        assert until(lambda: sum(bool(trial.values) for trial in lab.trials()) == 2)
        (server,) = {process.parent() for process in workers_of(lab)}
        assert server is not None
        holder, *_ = sorted(server.children(), key=lambda process: (process.create_time(), process.pid))
        holder.kill()

    killer = meanwhile(kill)
    ended = [lab.work("q", devices=GPU), lab.work("host", devices=GPU)]
    killer.join()

    assert ended == [Refusal.DONE, Refusal.DONE]
    assert [(trial.state, trial.attempts) for trial in lab.trials()] == [(TrialState.COMPLETE, 2)] * 2
    assert outcome(lab.trials()) == outcome(lab.trials("host"))


def test_a_study_gives_the_same_bits_whether_its_events_are_held_or_not(lab: Lab) -> None:
    plan = SHARE | {"space": CNN | {"flip_horizontal": True}}
    lab.create(**plan)
    lab.create("host", **plan | {"data": {"device": "host"}})

    assert [lab.work(name, devices=GPU) for name in ("q", "host")] == [Refusal.DONE, Refusal.DONE]

    assert outcome(lab.trials()) == outcome(lab.trials("host"))


@pytest.mark.parametrize(
    ("patch", "says"),
    [("", "one copy for all of its workers"), (REFUSED, "once for each of its workers: .*invalid resource handle")],
    ids=["held", "refused"],
)
def test_where_the_events_are_is_one_line_in_the_log(
    lab: Lab, caplog: pytest.LogCaptureFixture, patch: str, says: str
) -> None:
    users(lab, patch)
    lab.create(space=ODD, budget={"trials": 2}, **SHARE)
    caplog.set_level(logging.INFO)

    assert lab.work(devices=GPU) is Refusal.DONE

    assert len([message for message in caplog.messages if re.search(says, message)]) == 1


def test_an_agent_owns_no_cuda_context_and_nothing_is_left_in_shared_memory(lab: Lab) -> None:
    before = set(Path("/dev/shm").glob("torch_*"))
    lab.create(**SHARE)

    assert subprocess.run([sys.executable, "-c", OWNS_NOTHING, lab.url], check=False).returncode == 0

    assert set(Path("/dev/shm").glob("torch_*")) <= before
