"""What is read from NVIDIA's driver, with a stand-in for its library."""

import sys

import pytest
import torch
from nvml_stand_in import GPU_IS_LOST, Card, Library

from study._gpus import Gpu, visible_gpus
from study._nvml import Reading
from study._visible_gpus import places_of

UUIDS = ["GPU-aa11", "GPU-ab22", "GPU-cc33"]


@pytest.fixture(autouse=True)
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torch that is built for CUDA, and that must not be asked: that would make a context in this process."""

    def asked(*arguments: object) -> None:
        raise AssertionError("torch was asked")

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    for name in ("is_available", "get_device_properties", "init"):
        monkeypatch.setattr(torch.cuda, name, asked)
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)


def installed(monkeypatch: pytest.MonkeyPatch, *cards: Card, **fields: int) -> Library:
    library = Library(*cards, **fields)
    monkeypatch.setitem(sys.modules, "pynvml", library)
    return library


def test_a_torch_without_cuda_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, Card("GPU-0"))
    monkeypatch.setattr(torch.version, "cuda", None)

    assert visible_gpus() == []


def test_each_is_read_in_the_order_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    library = installed(monkeypatch, Card("GPU-0", pids=[7, 5]), Card("GPU-1", "Another"))

    first, second = visible_gpus()

    told = {"utilisation": 40.0, "power_w": 250.0, "temperature_c": 55, "ecc_errors": 0}
    assert first == Gpu("cuda:0", "A GPU", Reading(81920.0, 512.0, (5, 7), **told))  # type: ignore[arg-type]
    assert second == Gpu("cuda:1", "Another", Reading(81920.0, 512.0, **told))  # type: ignore[arg-type]
    assert (first.busy, second.busy) == (True, False)
    assert library.sessions == 0


@pytest.mark.parametrize(
    ("variable", "places"),
    [
        (None, [0, 1, 2]),
        ("2,0", [2, 0]),
        (" 1 , 2", [1, 2]),
        ("1gpu,+2", [1, 2]),
        ("1,7,0", [1]),
        ("0,-1,2", [0]),
        ("", []),
        ("-1", []),
        ("none", []),
        ("1,1", []),
        ("GPU-cc33,GPU-aa11", [2, 0]),
        ("GPU-c,GPU-ab", [2, 1]),
        ("GPU-c,GPU-a,GPU-ab", [2]),
        ("GPU-c,1", [2]),
        ("GPU-c,GPU-cc", []),
        ("GPU-ff", []),
    ],
)
def test_the_variable_is_read_as_cuda_reads_it(variable: str | None, places: list[int]) -> None:
    assert places_of(variable, UUIDS) == places


def test_hidden_gpus_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, *(Card(uuid, f"model {place}") for place, uuid in enumerate(UUIDS)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-cc,GPU-aa")

    assert [(gpu.name, gpu.model) for gpu in visible_gpus()] == [("cuda:0", "model 2"), ("cuda:1", "model 0")]


@pytest.mark.parametrize(
    ("variable", "models"),
    [(None, ["first"]), ("0,1", ["first"]), ("1", ["whole"]), ("MIG-2", ["second"]), ("MIG-2,MIG-1", ["second"])],
)
def test_of_a_divided_gpu_one_part_is_seen_and_no_whole_one_beside_it(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, models: list[str]
) -> None:
    parts = [Card("MIG-1", "first", utilisation=None, power_mw=None), Card("MIG-2", "second")]
    installed(monkeypatch, Card("GPU-0", parts=parts), Card("GPU-1", "whole"))
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)

    assert [gpu.model for gpu in visible_gpus()] == models


def test_what_the_driver_does_not_tell_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, Card("GPU-0", utilisation=None, power_mw=None, temperature_c=None, ecc_errors=None))

    assert visible_gpus() == [Gpu("cuda:0", "A GPU", Reading(81920.0, 512.0))]


def test_a_gpu_that_has_fallen_off_the_bus_is_out_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, Card("GPU-0", fails=GPU_IS_LOST), Card("GPU-1"))

    lost, good = visible_gpus()

    assert str(lost) == "cuda:0 (A GPU, out of order: GPU is lost)"
    assert good.reading.fault is None


def test_a_driver_that_is_older_than_torch_needs_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    installed(monkeypatch, Card("GPU-0"), cuda=12)

    assert visible_gpus() == []
    assert "their driver knows CUDA 12, and this torch is built for CUDA 13" in caplog.text


def test_gpus_in_another_order_than_the_drivers_are_told_where_they_differ(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    installed(monkeypatch, Card("GPU-0", "slow"), Card("GPU-1", "fast"))
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")

    visible_gpus()

    assert "CUDA_DEVICE_ORDER is FASTEST_FIRST" in caplog.text


@pytest.mark.parametrize(("count", "told"), [(2, True), (0, False)])
def test_without_the_driver_torch_counts_them_and_all_are_free(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, count: int, told: bool
) -> None:
    installed(monkeypatch, starts=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    gpus = visible_gpus()

    assert [gpu.name for gpu in gpus] == [f"cuda:{index}" for index in range(count)]
    assert not any(gpu.busy for gpu in gpus)
    assert ("NVML does not answer (error 9)" in caplog.text) is told


@pytest.mark.parametrize(
    ("used_mb", "processes", "busy"), [(0.0, (), False), (900.0, (), False), (1100.0, (), True), (0.0, (9,), True)]
)
def test_memory_in_use_tells_of_processes_that_a_container_hides(
    used_mb: float, processes: tuple[int, ...], busy: bool
) -> None:
    assert Gpu("cuda:0", "A GPU", Reading(10000.0, used_mb, processes)).busy is busy
