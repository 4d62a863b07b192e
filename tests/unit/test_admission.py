from functools import partial

import pytest
import torch
from torch import nn

from models._family import families
from objectives._footprint import predict_footprint
from objectives._learning import Learning
from study import _admission
from study._admission import Need, cpu_bytes, need_of
from study._constraints import Infeasible
from study._probing import DEFAULT, STEEPEST, fitted, kind_of, probe_sizes, small_steps

SHAPE = (2, 6, 5)
LEARNING = Learning(batch_size=64)
MIB = 2**20


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 512, 3), nn.ReLU(), nn.BatchNorm2d(512), nn.Flatten(), nn.Linear(512 * 12, 3))


PREDICTED = predict_footprint(network, SHAPE, LEARNING)
HALF = predict_footprint(network, SHAPE, LEARNING, half=True, evaluated=512).total


@pytest.fixture(autouse=True)
def nothing_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_admission, "_LINES", {})


@pytest.mark.parametrize(("spare", "fits"), [(0, True), (-1, False)])
def test_a_training_on_the_cpu_must_fit_into_the_available_memory(
    monkeypatch: pytest.MonkeyPatch, spare: int, fits: bool
) -> None:
    monkeypatch.setattr(_admission, "available_memory", lambda: cpu_bytes(PREDICTED) + spare)

    need = need_of(network, SHAPE, LEARNING, "cpu", "auto")

    assert need is not None
    assert (need.excess <= 0) is fits


def test_a_refusal_names_what_is_needed_and_what_there_is() -> None:
    need = Need(3 * 2**30, 2**31, "cpu")

    with pytest.raises(Infeasible, match=r"^memory: .* take 3\.00 GiB, and cpu has 2\.00 GiB for it$"):
        need.check()

    assert need.excess == 0.5


def test_a_device_without_any_room_refuses_too() -> None:
    assert Need(100, 0, "cuda:0").excess > 0


def test_nothing_is_said_of_a_network_that_needs_numbers() -> None:
    class Curious(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input.flatten(1)) * float(input.sum())

    assert need_of(lambda: Curious(60, 3), SHAPE, LEARNING, "cpu", "auto") is None


def gpu(monkeypatch: pytest.MonkeyPatch, room: float, start: int = 0, slope: float = 1.0) -> list[int]:
    """Stand in for a GPU with so much room, where measured memory is a line of the predicted; the probes so far."""
    probed: list[int] = []

    def peak(step: partial[None], device: str) -> int:
        (events,) = step.args[-1:]
        probed.append(events)
        return start + int(slope * predict_footprint(network, SHAPE, LEARNING, events=events, half=True).total)

    monkeypatch.setattr(_admission, "_gpu_room", lambda device: int(room))
    monkeypatch.setattr(_admission, "cuda_peak", peak)
    return probed


@pytest.mark.parametrize(("room", "fits"), [(100 * 2**30, True), (HALF / 2, False)])
def test_what_is_beyond_doubt_on_a_gpu_is_not_probed(monkeypatch: pytest.MonkeyPatch, room: float, fits: bool) -> None:
    probed = gpu(monkeypatch, room)

    need = need_of(network, SHAPE, LEARNING, "cuda:0", "auto")

    assert need is not None
    assert ((need.excess <= 0), probed) == (fits, [])


@pytest.mark.parametrize(("spare", "fits"), [(MIB, True), (-MIB, False)])
def test_two_small_trainings_tell_what_a_gpu_adds(monkeypatch: pytest.MonkeyPatch, spare: int, fits: bool) -> None:
    probed = gpu(monkeypatch, 100 * MIB + 2 * HALF + spare, start=100 * MIB, slope=2.0)

    need = need_of(network, SHAPE, LEARNING, "cuda:0", "auto")

    assert need is not None
    assert need.needed == pytest.approx(100 * MIB + 2 * HALF, rel=1e-6)
    assert ((need.excess <= 0), probed) == (fits, [8, 16])


def test_a_kind_of_network_is_probed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    probed = gpu(monkeypatch, 2 * HALF)

    for _ in range(3):
        need_of(network, SHAPE, LEARNING, "cuda:0", "auto")

    assert probed == [8, 16]


def test_a_probe_that_fails_leaves_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu(monkeypatch, 2 * HALF)

    def fails(step: object, device: str) -> int:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(_admission, "cuda_peak", fails)
    need = need_of(network, SHAPE, LEARNING, "cuda:0", "auto")

    assert need is not None
    assert need.needed == DEFAULT(HALF)


def test_the_law_of_two_probes_never_falls_below_the_prediction_nor_rises_without_measure() -> None:
    steep, flat = fitted((10.0, 20.0), (10.0, 1000.0)), fitted((10.0, 20.0), (5.0, 5.0))

    assert (steep.slope, flat.slope) == (STEEPEST, 1.0)
    assert steep(20.0) >= 1000
    assert flat(20.0) >= 20
    assert fitted((10.0, 10.0), (30.0, 30.0))(10.0) == 30


@pytest.mark.parametrize(("batch_size", "sizes"), [(2, (2, 4)), (32, (4, 8)), (256, (32, 64))])
def test_probes_are_small(batch_size: int, sizes: tuple[int, int]) -> None:
    assert probe_sizes(batch_size) == sizes


def test_networks_that_differ_in_width_alone_are_of_one_kind() -> None:
    cnn = families()["cnn"]

    def made(**values: int) -> str:
        return kind_of(cnn.build(cnn.hyperparameters(**values), SHAPE, 3))

    assert made(width=8) == made(width=64)
    assert made(depth=2) != made(depth=3)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "rmsprop"])
def test_small_steps_train_a_network_and_leave_nothing(optimizer: str) -> None:
    made: list[nn.Module] = []

    def build() -> nn.Module:
        made.append(network())
        return made[-1]

    small_steps(build, SHAPE, Learning(optimizer=optimizer), "cpu", "bf16", 4)

    assert len(made) == 1
    assert made[0].training
