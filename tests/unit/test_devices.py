import os
from pathlib import Path

import pytest

from storage.errors import ConfigError
from study import devices
from study._gpus import Gpu
from study._nvml import Reading
from study.devices import PerDevice, cpu_count, device_slots, most_per_device, threads_per_worker, torch_name


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "visible_gpus", lambda: [Gpu("cuda:0", "A GPU"), Gpu("cuda:1", "A GPU")])


@pytest.fixture
def no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "visible_gpus", lambda: [])
    monkeypatch.setattr(devices, "cpu_count", lambda: 3)


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(
    ("wanted", "per_device", "workers", "slots"),
    [
        ("auto", 1, None, ["cuda:0", "cuda:1"]),
        ("auto", 2, None, ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]),
        ("auto", 2, 3, ["cuda:0", "cuda:1", "cuda:0"]),
        ("auto", 1, 1, ["cuda:0"]),
        ("cuda:1", 2, None, ["cuda:1", "cuda:1"]),
        (" cuda:1 , cpu ", 1, None, ["cuda:1", "cpu"]),
        (("cuda:0",), 1, None, ["cuda:0"]),
        ("cpu", 1, 2, ["cpu", "cpu"]),
        ("cpu:0,cpu:1", 2, None, ["cpu:0", "cpu:1", "cpu:0", "cpu:1"]),
        ("auto", "auto", None, ["cuda:0", "cuda:1"]),
        ("auto", "auto", 1, ["cuda:0"]),
        ("auto", "auto", 9, ["cuda:0", "cuda:1"]),
        ("cpu", "auto", None, ["cpu"]),
    ],
)
def test_slots_take_devices_in_turn(
    wanted: str | tuple[str, ...], per_device: PerDevice, workers: int | None, slots: list[str]
) -> None:
    assert device_slots(wanted, per_device, workers) == slots


@pytest.mark.parametrize(
    ("devices", "workers", "cores", "most"),
    [(1, None, 64, 16), (4, None, 32, 8), (2, 6, 64, 3), (1, None, 2, 2), (8, None, 4, 1), (4, 2, 64, 1)],
)
def test_auto_puts_no_more_workers_on_a_device_than_cores_and_wishes_allow(
    devices: int, workers: int | None, cores: int, most: int
) -> None:
    assert most_per_device(devices, workers, cores) == most


@pytest.mark.usefixtures("no_gpus")
@pytest.mark.parametrize(("workers", "count"), [(None, 3), (1, 1), (8, 8)])
def test_a_host_without_gpus_has_a_worker_per_core_or_as_many_as_asked_for(workers: int | None, count: int) -> None:
    assert device_slots("auto", 1, workers) == ["cpu"] * count


@pytest.mark.usefixtures("no_gpus")
@pytest.mark.parametrize("wanted", ["cuda:0", "cuda", "gpu", ("cpu", "cuda:1"), "auto,cpu", ""])
def test_devices_that_are_not_there_are_refused_with_those_that_are(wanted: str | tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="it has: cpu; or give auto"):
        device_slots(wanted, 1, None)


@pytest.mark.usefixtures("gpus")
def test_a_device_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'cuda:0' is named twice; workers\.per_device"):
        device_slots("cuda:0,cuda:0", 1, None)


@pytest.mark.usefixtures("gpus")
def test_more_workers_than_slots_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"5 workers need 5 slots, and cuda:0, cuda:1 with .*per_device 2 have 4"):
        device_slots("auto", 2, 5)


@pytest.fixture
def one_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = Gpu("cuda:0", "A GPU", Reading(81920.0, 2048.0, (4711,)))
    monkeypatch.setattr(devices, "visible_gpus", lambda: [busy, Gpu("cuda:1", "A GPU", Reading(81920.0, 400.0))])


@pytest.mark.usefixtures("one_busy")
def test_a_gpu_in_use_is_left_alone_and_said_so(caplog: pytest.LogCaptureFixture) -> None:
    assert device_slots("auto", 1, None, use_busy=False) == ["cuda:1"]
    assert "cuda:0 (A GPU, 78.0 of 80.0 GiB free, used by process 4711); --use-busy takes it" in caplog.text


@pytest.mark.usefixtures("one_busy")
def test_a_gpu_in_use_is_taken_when_told() -> None:
    assert device_slots("auto", 1, None, use_busy=True) == ["cuda:0", "cuda:1"]


@pytest.mark.usefixtures("one_busy")
def test_naming_a_gpu_in_use_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"used by process 4711\) is in use; --use-busy takes it"):
        device_slots("cuda:0", 1, None, use_busy=False)


@pytest.fixture
def one_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Gpu("cuda:0", "A GPU", Reading(fault="GPU is lost"))
    monkeypatch.setattr(devices, "visible_gpus", lambda: [lost, Gpu("cuda:1", "A GPU")])


@pytest.mark.usefixtures("one_lost")
def test_a_gpu_that_is_out_of_order_is_left_alone_and_said_so(caplog: pytest.LogCaptureFixture) -> None:
    assert device_slots("auto", 1, None) == ["cuda:1"]
    assert "left alone: cuda:0 (A GPU, out of order: GPU is lost)" in caplog.text


@pytest.mark.usefixtures("one_lost")
def test_naming_a_gpu_that_is_out_of_order_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cuda:0 \(A GPU, out of order: GPU is lost\)"):
        device_slots("cuda:0", 1, None)


def test_when_every_gpu_is_out_of_order_nothing_silently_goes_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "visible_gpus", lambda: [Gpu("cuda:0", "A GPU", Reading(fault="GPU is lost"))])

    with pytest.raises(ConfigError, match="every GPU is out of order: cuda:0"):
        device_slots("auto", 1, None)


def test_when_every_gpu_is_in_use_nothing_silently_goes_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "visible_gpus", lambda: [Gpu("cuda:0", "A GPU", Reading(1000.0, 900.0))])

    with pytest.raises(ConfigError, match="every GPU is in use: cuda:0"):
        device_slots("auto", 1, None, use_busy=False)


@pytest.mark.usefixtures("no_gpus")
def test_a_torch_without_cuda_on_an_allotted_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")

    with pytest.raises(ConfigError, match="CUDA_VISIBLE_DEVICES is '3', but torch sees no GPU"):
        device_slots("auto", 1, None)


@pytest.mark.usefixtures("no_gpus")
@pytest.mark.parametrize("hidden", ["", "-1", "NoDevFiles"])
def test_hidden_gpus_mean_the_cpu(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)

    assert device_slots("auto", 1, 1) == ["cpu"]


@pytest.mark.parametrize(("name", "known"), [("cpu", "cpu"), ("cpu:3", "cpu"), ("cuda:1", "cuda:1")])
def test_parts_of_the_cpu_are_one_device_to_torch(name: str, known: str) -> None:
    assert torch_name(name) == known


def test_cores_are_those_of_the_affinity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 8})

    assert cpu_count(tmp_path) == 3


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "250000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "1600000 100000"}, 8),
        ({"cpu.max": "what is this"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
    ],
)
def test_a_containers_share_limits_the_cores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    assert cpu_count(tmp_path) == cores


@pytest.mark.usefixtures("no_gpus")
def test_a_worker_on_the_cpu_has_one_thread() -> None:
    assert threads_per_worker(1) == 1


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(("cores", "slots", "threads"), [(16, 2, 4), (4, 2, 2), (1, 2, 1)])
def test_a_worker_on_a_gpu_has_its_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, slots: int, threads: int
) -> None:
    monkeypatch.setattr(devices, "cpu_count", lambda: cores)

    assert threads_per_worker(slots) == threads
