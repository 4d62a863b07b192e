"""What devices and workers tell, by which workers are packed."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from study import _load, _mps, doctor
from study._gpus import Gpu
from study._load import Load, load_of
from study._monitor import Monitor
from study._nvml import Reading
from study._peak import PeakMemory

MIB = 2**20
TAKING = """\
import numpy
from study._peak import PeakMemory

before = numpy.ones(40 * 2**20, numpy.uint8)
peak = PeakMemory("cpu")
taken = numpy.ones(64 * 2**20, numpy.uint8)
del taken
first = peak.risen()
again = peak.risen()
more = numpy.ones(100 * 2**20, numpy.uint8)
print(first, again, peak.risen())
"""


def test_a_workers_peak_is_what_it_has_taken_at_most_since_it_began() -> None:
    told = subprocess.run([sys.executable, "-c", TAKING], capture_output=True, text=True, check=True).stdout.split()

    assert 60 * MIB < int(told[0]) < 80 * MIB
    assert told[1] == "None"
    assert 96 * MIB < int(told[2]) < 120 * MIB


def test_on_a_gpu_it_is_what_its_allocator_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    held = iter([100, 104, 106])
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: next(held))
    peak = PeakMemory("cuda:1")

    assert [peak.risen() for _ in range(3)] == [100, None, 106]


def test_a_gpu_tells_by_its_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = {"cuda:0": Reading(total_mb=1000.0, used_mb=400.0, utilisation=30.0), "cuda:1": Reading()}
    monkeypatch.setattr(Monitor, "reading", lambda self, device: readings[device])

    assert load_of("cuda:0", Monitor(())) == Load(0.3, 600 * MIB)
    assert load_of("cuda:1", Monitor(())) == Load(None, None)


def test_the_cpu_is_as_busy_as_the_cores_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_load.psutil, "cpu_percent", lambda percpu: [100.0, 0.0, 50.0, 0.0])
    monkeypatch.setattr(_load.os, "sched_getaffinity", lambda pid: {0, 2, 9}, raising=False)
    monkeypatch.setattr(_load, "available_memory", lambda: 7)

    assert load_of("cpu:1", Monitor(())) == Load(0.75, 7)


@pytest.mark.parametrize(("runs", "said"), [(True, "compute at once, by MPS"), (False, "take turns")])
def test_mps_runs_where_its_daemon_listens(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runs: bool, said: str
) -> None:
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(doctor, "visible_gpus", lambda: [Gpu("cuda:0", "A GPU")])
    if runs:
        (tmp_path / "control").touch()

    (gpu,) = (finding for finding in doctor.examine("sqlite:///none.db") if finding.subject == "gpu")
    assert _mps.mps_runs() is runs
    assert said in gpu.found
