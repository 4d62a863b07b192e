"""An agent's look at its GPUs, with a stand-in for the driver's library."""

import sys
import threading
from collections.abc import Callable

import pytest
from lab import until
from nvml_stand_in import GPU_IS_LOST, Card, Library

from study._monitor import Monitor
from study._nvml import Reading


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Library:
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    library = Library(Card("GPU-0", utilisation=80, used_mb=100.0), Card("GPU-1", power_mw=99_000))
    monkeypatch.setitem(sys.modules, "pynvml", library)
    return library


def test_each_gpu_is_told_as_last_read_and_its_utilisation_averaged(driver: Library) -> None:
    with Monitor(["cuda:0", "cuda:1", "cuda:0"], read_s=0.01) as monitor:
        assert until(lambda: monitor.reading("cuda:0").utilisation == 80.0)
        driver.cards[0].utilisation, driver.cards[0].used_mb = 20, 200.0

        assert until(lambda: 20.0 < (monitor.reading("cuda:0").utilisation or 0.0) < 80.0)
        assert monitor.reading("cuda:0").used_mb == 200.0
        assert monitor.reading("cuda:1").power_w == 99.0
        assert monitor.faults() == {}
    assert driver.sessions == 0


def test_errors_of_the_memory_that_are_new_are_a_fault(driver: Library) -> None:
    driver.cards[0].ecc_errors = driver.cards[1].ecc_errors = 3
    with Monitor(["cuda:0", "cuda:1"], read_s=0.01) as monitor:
        assert until(lambda: monitor.reading("cuda:1").ecc_errors == 3)

        driver.cards[1].ecc_errors = 5

        assert until(lambda: monitor.faults() == {"cuda:1": "uncorrectable ECC errors of its memory: 2"})


def test_a_gpu_that_falls_off_the_bus_is_a_fault(driver: Library) -> None:
    with Monitor(["cuda:0", "cuda:1"], read_s=0.01) as monitor:
        driver.cards[0].fails = GPU_IS_LOST

        assert until(lambda: monitor.faults() == {"cuda:0": "GPU is lost"})


def test_a_gpu_that_the_user_hides_is_not_counted(driver: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")

    with Monitor(["cuda:0"], read_s=0.01) as monitor:
        assert until(lambda: monitor.reading("cuda:0").power_w == 99.0)


def test_a_driver_that_does_not_answer_holds_nobody_up(driver: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    asked: Callable[[Card], object] = driver.nvmlDeviceGetMemoryInfo

    def slow(card: Card) -> object:
        answer.wait()
        return asked(card)

    monkeypatch.setattr(driver, "nvmlDeviceGetMemoryInfo", slow)

    with Monitor(["cuda:0"]) as monitor:
        assert monitor.reading("cuda:0") == Reading()
        assert monitor.faults() == {}
        answer.set()


def test_what_was_read_long_ago_tells_nothing(driver: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    with Monitor(["cuda:0"], read_s=0.01) as monitor:
        assert until(lambda: monitor.reading("cuda:0") != Reading())
    monkeypatch.setattr("study._monitor.STALE_S", -1.0)

    assert monitor.reading("cuda:0") == Reading()


@pytest.mark.parametrize("devices", [["cpu"], ["cpu:0", "cpu:1"], []])
def test_where_there_is_no_gpu_there_is_neither_a_reading_nor_a_thread(devices: list[str], driver: Library) -> None:
    with Monitor(devices) as monitor:
        assert monitor.reading("cpu") == Reading()
        assert not any(thread.name == "nvml" for thread in threading.enumerate())


def test_without_the_library_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Library(starts=False))

    with Monitor(["cuda:0"]) as monitor:
        assert monitor.reading("cuda:0") == Reading()
