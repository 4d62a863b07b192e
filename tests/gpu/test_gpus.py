"""What NVIDIA's driver tells of real GPUs, and a kernel that really fails."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pynvml
import pytest
from lab import ODD, Lab, until
from optuna.trial import TrialState
from pools import meanwhile, users

from storage.agents import WorkerRow, list_workers
from storage.claims import Refusal
from storage.database import Database
from study._gpus import visible_gpus

pytestmark = pytest.mark.gpu

OURS = """
import dataclasses, json, os
import torch
from study._gpus import visible_gpus
print(json.dumps([(gpu.model, gpu.reading.total_mb, os.getpid() in gpu.reading.processes) for gpu in visible_gpus()]))
assert not torch.cuda.is_initialized()
"""
TORCHS = """
import json, os
os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
import torch
every = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
print(json.dumps([(each.name, each.total_memory / 2**20, False) for each in every]))
"""
BEYOND = """
import study._worker

attempt, forward = study._worker._attempt, Odd.forward
number = None


def on(agent, warm, job, device):
    global number
    number = job.number
    return attempt(agent, warm, job, device)


class Beyond:  # more memory than there is, of which the driver is told that it is there
    def __init__(self, events):
        self.events = events.contiguous()
        address = self.events.data_ptr(), False
        self.__cuda_array_interface__ = {"shape": (2**40,), "typestr": "<f4", "data": address, "version": 3}


def train(self, events):
    if self.training and events.is_cuda and number == 1:
        torch.as_tensor(Beyond(events), device=events.device)[2**39 : 2**39 + 8].sum().item()
    return forward(self, events)


Odd.forward, study._worker._attempt = train, on
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    found = Lab(tmp_path / "lab")
    yield found
    found.clean_up()


def told(script: str, **environment: str) -> list[Any]:
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True, text=True)
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def uuids() -> list[str]:
    pynvml.nvmlInit()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return [str(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles]
    finally:
        pynvml.nvmlShutdown()


def workers(lab: Lab) -> list[WorkerRow]:
    database = Database(lab.url)
    try:
        return list_workers(database, lab.record().study_id)
    finally:
        database.close()


@pytest.mark.parametrize("kind", ["all", "the last by its UUID", "the last first", "one that is not there", "none"])
def test_the_gpus_are_those_of_torch_and_no_context_is_made(kind: str) -> None:
    every = uuids()
    order = ",".join(str(index) for index in reversed(range(len(every))))
    variables = {"the last by its UUID": every[-1][:12], "the last first": order, "one that is not there": "0,77,0"}
    environment = {} if kind == "all" else {"CUDA_VISIBLE_DEVICES": variables.get(kind, "-1")}

    ours, torchs = told(OURS, **environment), told(TORCHS, **environment)

    assert [model for model, *_ in ours] == [model for model, *_ in torchs]
    assert [used for *_, used in ours] == [False] * len(ours)
    assert all(abs(mine[1] / theirs[1] - 1) < 0.1 for mine, theirs in zip(ours, torchs, strict=True))


def test_a_gpu_is_told_with_what_it_does_now() -> None:
    now = visible_gpus()[0].reading

    assert now.fault is None
    assert 0 < (now.used_mb or 0) < (now.total_mb or 0)
    assert 0 <= (now.utilisation or 0) <= 100
    assert (now.power_w or 0) > 0
    assert (now.temperature_c or 0) > 0


def test_a_workers_row_tells_of_its_gpu(lab: Lab) -> None:
    plan = {"space": ODD | {"odd.pause": 0.1}, "training": {"epochs": 5}, "search": {"pruner": "none"}}
    lab.create(budget={"trials": 2}, **plan)
    seen: list[WorkerRow] = []

    def look() -> None:
        assert until(lambda: any(row.gpu_power_w for row in workers(lab)))
        seen.extend(workers(lab))

    looking = meanwhile(look)
    lab.work(devices="cuda:0", workers=1)
    looking.join()

    assert all(0 < (row.gpu_used_mb or 0) < (row.gpu_total_mb or 0) for row in seen)


def test_a_trial_that_reads_beyond_the_memory_fails_by_its_device_and_the_others_go_on(lab: Lab) -> None:
    users(lab, BEYOND)
    lab.create(space=ODD, budget={"trials": 4}, training={"cuda_graph": False}, search={"pruner": "none"})

    ended = lab.work(devices="cuda:0", workers=1)

    assert ended is Refusal.DONE
    assert [(trial.state, trial.failure, trial.attempts) for trial in lab.trials()] == [
        (TrialState.COMPLETE, None, 1),
        (TrialState.FAIL, "device", 2),
        (TrialState.COMPLETE, None, 1),
        (TrialState.COMPLETE, None, 1),
    ]
