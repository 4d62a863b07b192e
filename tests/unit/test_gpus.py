"""What is read from NVIDIA's driver, with a stand-in for its library and for torch's view of the devices."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from study._gpus import MIB, Gpu, visible_gpus


class NVMLError(Exception):
    pass


def library(processes: dict[str, list[int]]) -> ModuleType:
    """A stand-in for pynvml that knows some GPUs by UUID."""

    def handle(uuid: str) -> str:
        if uuid not in processes:
            raise NVMLError("not found")
        return uuid

    module = ModuleType("pynvml")
    vars(module).update(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetHandleByUUID=handle,
        nvmlDeviceGetMemoryInfo=lambda uuid: SimpleNamespace(total=80 * 1024 * MIB, used=512 * MIB),
        nvmlDeviceGetComputeRunningProcesses=lambda uuid: [SimpleNamespace(pid=pid) for pid in processes[uuid]],
    )
    return module


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda index: SimpleNamespace(name="A GPU", uuid=f"uuid-{1 - index}")
    )


def test_without_cuda_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert visible_gpus() == []


@pytest.mark.usefixtures("two")
def test_each_is_found_in_the_driver_by_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", library({"GPU-uuid-0": [7, 5], "GPU-uuid-1": []}))

    first, second = visible_gpus()

    assert first == Gpu("cuda:0", "A GPU", 81920.0, 512.0, ())
    assert second == Gpu("cuda:1", "A GPU", 81920.0, 512.0, (5, 7))
    assert (first.busy, second.busy) == (False, True)


@pytest.mark.usefixtures("two")
def test_one_that_the_driver_does_not_know_counts_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", library({}))

    assert visible_gpus() == [Gpu("cuda:0", "A GPU"), Gpu("cuda:1", "A GPU")]


@pytest.mark.usefixtures("two")
def test_a_driver_that_does_not_answer_is_told_and_all_count_as_free(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> None:
        raise NVMLError("driver not loaded")

    broken = library({})
    vars(broken)["nvmlInit"] = fails
    monkeypatch.setitem(sys.modules, "pynvml", broken)

    assert not any(gpu.busy for gpu in visible_gpus())
    assert "NVML does not answer (driver not loaded)" in caplog.text


@pytest.mark.parametrize(
    ("used_mb", "processes", "busy"), [(0.0, (), False), (900.0, (), False), (1100.0, (), True), (0.0, (9,), True)]
)
def test_memory_in_use_tells_of_processes_that_a_container_hides(
    used_mb: float, processes: tuple[int, ...], busy: bool
) -> None:
    assert Gpu("cuda:0", "A GPU", 10000.0, used_mb, processes).busy is busy
