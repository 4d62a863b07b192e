from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pytest

from study._packing import Packing, Reading

GIB = 2.0**30


@dataclass
class Device:
    """A simulated device: what k equal workers get done, and what they need.

    Attributes:
        speed: Events per second of k workers together.
        fresh: Whether each reading has new trials, of any speed, rather than those of the last.
    """

    speed: Callable[[int], float]
    room: float = 80 * GIB
    peak: float = 1 * GIB
    busy: Callable[[int], float] | None = None
    fresh: bool = False
    readings: int = 0

    def read(self, workers: int) -> Reading:
        self.readings += 1
        each = self.speed(workers) / workers
        first = self.readings * 100 if self.fresh else 0
        rates = {f"trial {first + worker}": each for worker in range(workers)}
        idle = 1 - (self.busy or (lambda k: min(1.0, self.speed(k) / 1000)))(workers)
        return Reading(rates, idle, self.peak, self.room)


def settled(device: Device, packing: Packing, looks: int = 40) -> list[int]:
    course = [packing.workers]
    for _ in range(looks):
        packing.look(device.read(packing.workers))
        course.append(packing.workers)
    return course


@pytest.mark.parametrize("fresh", [False, True])
def test_workers_are_added_one_by_one_until_the_device_is_busy(fresh: bool) -> None:
    course = settled(Device(lambda k: min(1000.0, 200.0 * k), fresh=fresh), Packing(16))

    assert course[:5] == [1, 2, 3, 4, 5]
    assert set(course[5:]) == {5}


@pytest.mark.parametrize("fresh", [False, True])
def test_a_worker_that_adds_nothing_goes_again_for_good(fresh: bool) -> None:
    course = settled(Device(lambda k: min(400.0, 200.0 * k), busy=lambda k: 0.5, fresh=fresh), Packing(16))

    assert course[:4] == [1, 2, 3, 2]
    assert set(course[3:]) == {2}


@pytest.mark.parametrize(("gain", "workers"), [(1.04, 1), (1.06, 2)])
def test_a_worker_must_add_five_percent(gain: float, workers: int) -> None:
    speeds = {1: 100.0, 2: 100.0 * gain, 3: 100.0 * gain}

    assert settled(Device(speeds.__getitem__), Packing(16))[-1] == workers


def test_a_busy_device_gets_no_second_worker() -> None:
    assert set(settled(Device(lambda k: 100.0 * k, busy=lambda k: 0.86), Packing(16))) == {1}


def test_a_device_that_tells_no_idle_share_is_filled_by_the_gain_alone() -> None:
    device, packing = Device(lambda k: min(300.0, 100.0 * k)), Packing(16)
    for _ in range(20):
        packing.look(replace(device.read(packing.workers), idle=None))

    assert packing.workers == 3


@pytest.mark.parametrize(("room_gib", "context_gib", "workers"), [(8, 0, 6), (8, 0.5, 4), (1.3, 0, 1), (0.5, 0, 1)])
def test_workers_must_fit_into_memory_with_a_fifth_to_spare(room_gib: float, context_gib: float, workers: int) -> None:
    device = Device(lambda k: 10.0 * k, room=room_gib * GIB)

    assert settled(device, Packing(16, context_bytes=context_gib * GIB))[-1] == workers


def test_larger_trials_take_workers_away() -> None:
    device, packing = Device(lambda k: 10.0 * k, room=10 * GIB), Packing(16)
    settled(device, packing)
    device.peak = 3 * GIB

    assert settled(device, packing)[-1] == 2


def test_there_are_never_more_than_the_most() -> None:
    assert settled(Device(lambda k: 1.0 * k), Packing(16))[-1] == 16
    assert settled(Device(lambda k: 1.0 * k), Packing(most=3))[-1] == 3


def test_out_of_memory_takes_one_worker_for_good() -> None:
    device, packing = Device(lambda k: 10.0 * k), Packing(most=4)
    settled(device, packing)
    packing.crowded()

    assert settled(device, packing)[-1] == 3


def test_one_worker_always_stays() -> None:
    packing = Packing(16)
    packing.crowded()

    assert packing.workers == 1


def gain_decides(before: Mapping[str, float], after: Mapping[str, float]) -> int:
    packing = Packing(16)
    packing.look(Reading(before, 0.5, GIB, 80 * GIB))
    packing.look(Reading(after, 0.0, GIB, 80 * GIB))
    return packing.workers


def test_a_newcomer_with_a_slow_network_is_not_held_against_the_device() -> None:
    assert gain_decides({"small": 1000.0}, {"small": 900.0, "large": 5.0}) == 2


def test_a_newcomer_with_a_fast_network_does_not_hide_that_the_others_starve() -> None:
    assert gain_decides({"large": 100.0}, {"large": 50.0, "small": 5000.0}) == 1
