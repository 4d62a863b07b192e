"""On a real GPU: the step in a CUDA graph trains as the step itself does, and resumes with the same bits."""

import logging
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from trainings import LEARNING, SETTINGS, bits, events, images, network, numbers, resumed, same, stop_at, trainer

from models._family import families, load_family
from objectives._captured import RepeatedStep
from objectives._errors import Interrupted, NonFiniteLoss
from objectives._evaluation import evaluate
from objectives._events import Events
from objectives._feed import PinnedFeed, open_feed
from objectives._fit import fit
from objectives._resident import Resident
from objectives._source import MemorySource

pytestmark = pytest.mark.gpu

EXAMPLES = Path(__file__).parents[2] / "examples"
FAMILIES = [*families().values(), load_family("my_models.py:LENET", folder=EXAMPLES)]
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")
DEVICE = "cuda:0"
ON_GPU = replace(SETTINGS, device=DEVICE)
EAGER = replace(ON_GPU, cuda_graph=False)


def trained(learning=LEARNING, settings=ON_GPU, **options):
    run = trainer(learning, settings, **{"on": DEVICE, **options})
    return numbers(fit(run)), bits(run)


def in_a_graph(run):
    return run._work is not None and run._work._graph is not None


def assert_close(learning=LEARNING, settings=ON_GPU, **options):
    """Compare with the training without a graph: kernels are the same, so little more than nothing may differ."""
    repeated, weights = trained(learning, settings, **options)
    eager, others = trained(learning, replace(settings, cuda_graph=False), **options)

    assert [result.training_loss for result in repeated] == pytest.approx(
        [result.training_loss for result in eager], rel=1e-3
    )
    for one, other in zip(weights, others, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_family_trains_in_a_graph_as_without(family, precision):
    assert_close(
        settings=replace(ON_GPU, epochs=1, precision=precision),
        build=family.build,
        hyperparameters=family.hyperparameters(),
    )


@pytest.mark.parametrize("momentum", [0.9, 0.0])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_trains_in_a_graph_as_without(optimizer, momentum):
    assert_close(replace(LEARNING, optimizer=optimizer, momentum=momentum))


@pytest.mark.parametrize(
    "change", [{"clip_norm": 0.05}, {"class_weights": "balanced"}, {"deterministic": False}], ids=str
)
def test_every_setting_trains_in_a_graph_as_without(change):
    # Adam would make much of the little in which sums differ whose order is left open.
    assert_close(replace(LEARNING, optimizer="sgd", label_smoothing=0.1), replace(ON_GPU, **change))


@pytest.mark.parametrize("on", [DEVICE, None], ids=["events on the GPU", "events on the host"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_of_them_is_captured(optimizer, on, caplog):
    run = trainer(replace(LEARNING, optimizer=optimizer), ON_GPU, on=on)

    with caplog.at_level(logging.WARNING):
        list(fit(run))

    assert in_a_graph(run)
    assert caplog.messages == []


def test_a_rerun_has_the_same_bits():
    (curve, weights), (again, same_weights) = trained(), trained()

    assert again == curve
    assert same(same_weights, weights)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("poll", [1, 3, 5, 6, 8])  # 5 batches are trained in an epoch, and 1 validated
def test_interrupted_anywhere_and_resumed_it_has_the_same_bits(optimizer, poll, tmp_path):
    learning = replace(LEARNING, optimizer=optimizer)
    curve, weights = trained(learning)
    first = trainer(learning, ON_GPU, on=DEVICE)
    with pytest.raises(Interrupted):
        list(fit(first, should_stop=stop_at(poll)))

    second = resumed(first, tmp_path / "state.pt", on=DEVICE)
    list(fit(second))

    assert numbers(second.history) == curve
    assert same(bits(second), weights)


class Masked(nn.Module):
    """Remembers what its dropout has left of the last batch."""

    def __init__(self):
        super().__init__()
        self.dropout, self.flat, self.layer = nn.Dropout(0.5), nn.Flatten(), nn.Linear(60, 3)
        self.register_buffer("mask", torch.zeros(16, 60))

    def forward(self, batch):
        kept = self.dropout(torch.ones_like(self.flat(batch)))
        if self.training and len(batch) == 16:
            self.mask.copy_(kept)
        return self.layer(self.flat(batch) * kept)


def masks_of(run, polls=10**6):
    """The mask of each whole batch of the first epoch."""
    found = []

    def look():
        found.append(run.model.mask.cpu().clone())
        return len(found) > polls

    with pytest.raises(Interrupted):
        list(fit(run, should_stop=look))
    return found[1:]  # the first is before any batch


def test_dropout_leaves_out_others_at_each_step_and_the_same_after_a_resumption(tmp_path):
    settings = replace(ON_GPU, epochs=1)
    whole = trainer(settings=settings, on=DEVICE, build=lambda *_: Masked())
    masks = masks_of(whole, polls=4)
    first = trainer(settings=settings, on=DEVICE, build=lambda *_: Masked())
    begun = masks_of(first, polls=2)
    second = resumed(first, tmp_path / "state.pt", on=DEVICE, build=lambda *_: Masked())
    went_on = masks_of(second, polls=2)

    assert in_a_graph(whole)
    assert len({mask.numpy().tobytes() for mask in masks}) == 4
    assert same(begun + went_on, masks)


@pytest.mark.parametrize("settings", [ON_GPU, EAGER], ids=["graph", "eager"])
def test_events_on_the_gpu_and_events_sent_there_train_with_the_same_bits(settings):
    (curve, weights), (sent, others) = trained(settings=settings), trained(settings=settings, on=None)

    assert sent == curve
    assert same(others, weights)


def test_no_buffer_is_overwritten_before_it_was_used():
    values, _ = images(4096, 5)
    values = np.repeat(values, 64, axis=-1)  # so that a copy takes a while
    source = MemorySource(values)
    feed = open_feed(source, "NHWC", None, torch.device(DEVICE), 256)
    busy, sums = torch.randn(4096, 4096, device=DEVICE), []
    order = np.random.default_rng(0).permutation(4096)

    for number, _ in enumerate(feed.batches(order, 256)):
        busy = busy @ busy / 64  # the host runs ahead of the GPU
        positions = torch.from_numpy(order[256 * number : 256 * (number + 1)]).to(DEVICE)
        sums.append(feed.current(positions).double().sum((1, 2, 3)))

    assert isinstance(feed, PinnedFeed)
    expected = values[order].astype(np.float64).sum((1, 2, 3))
    np.testing.assert_allclose(torch.cat(sums).cpu().numpy(), expected, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("halves", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_a_batch_gathered_on_the_gpu_has_the_bits_of_one_gathered_on_a_cpu(dtype, halves):
    source = MemorySource(images(40, 2, dtype)[0])
    positions = torch.tensor([7, 3, 39, 7])
    there, here = (Resident.upload(source, "NHWC", device, halves) for device in (DEVICE, "cpu"))

    assert torch.equal(there.gather(positions.to(DEVICE)).cpu(), here.gather(positions))


def test_warm_up_and_capture_take_less_than_a_second(monkeypatch):
    seconds = []
    prepare = RepeatedStep.prepare

    def timed(self, at, count):
        torch.cuda.synchronize()
        began = time.perf_counter()
        prepare(self, at, count)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)

    monkeypatch.setattr(RepeatedStep, "prepare", timed)
    resnet = families()["resnet"]
    for _ in range(2):  # the first trial of a process loads kernels
        trained(settings=replace(ON_GPU, epochs=1), build=resnet.build, hyperparameters=resnet.hyperparameters())

    assert seconds[1] < 1


class Waiting(nn.Module):
    """Asks the GPU for a number in its forward pass, as a user's family may."""

    def __init__(self):
        super().__init__()
        self.layers = network(None, (2, 6, 5), 3)

    def forward(self, batch):
        return self.layers(batch) * (2.0 if batch.mean().item() > 1e9 else 1.0)


def test_a_network_that_waits_for_the_gpu_is_trained_without_a_graph_and_the_next_one_with(caplog):
    with caplog.at_level(logging.WARNING):
        run = trainer(settings=ON_GPU, on=DEVICE, build=lambda *_: Waiting())
        curve = numbers(fit(run))
    after = trainer(settings=ON_GPU, on=DEVICE)
    list(fit(after))

    assert not in_a_graph(run)
    assert ["cannot be captured" in line for line in caplog.messages] == [True]
    assert curve == trained(settings=EAGER, build=lambda *_: Waiting())[0]
    assert in_a_graph(after)


class Drawing(nn.Module):
    """Leaves out its hidden layer at random, as PyTorch's generator of the CPU decides."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.flat = nn.Conv2d(2, 2, 1), nn.Linear(60, 3), nn.Flatten()

    def forward(self, batch):
        hidden = self.first(batch) if self.training and float(torch.rand(())) < 0.5 else batch
        return self.second(self.flat(hidden))


def test_a_network_that_draws_on_the_cpu_is_trained_without_a_graph(caplog):
    with caplog.at_level(logging.WARNING):
        trained(build=lambda *_: Drawing())

    assert ["it draws random numbers on the host" in line for line in caplog.messages] == [True]


def test_the_first_batch_whose_loss_is_not_finite_is_named():
    run = trainer(settings=ON_GPU, on=DEVICE)
    order = run._seeds.permutation(0, len(run.training))
    run.training.resident.tensors[0][order[16 * 2]] = float("nan")  # in the third batch of the first epoch

    with pytest.raises(NonFiniteLoss, match="the loss of batch 3 of 5 in epoch 1 is nan"):
        list(fit(run))


@pytest.mark.parametrize("chosen", [slice(0, 1), slice(3, 600), slice(500, 1100)])
def test_an_events_prediction_has_the_same_bits_whatever_is_evaluated_with_it(chosen):
    values, labels = images(1100, 3)
    run = trainer(settings=ON_GPU)

    def predictions(part):
        some = Events(MemorySource(values[part]), labels[part])
        return evaluate(run.model, run.task, some, run.normalize, run.device)[1]

    np.testing.assert_array_equal(predictions(chosen), predictions(slice(None))[chosen])


def test_evaluated_events_on_the_gpu_and_sent_there_have_the_same_bits():
    run = trainer(settings=ON_GPU)

    def evaluated(some):
        return evaluate(run.model, run.task, some, run.normalize, run.device)

    (metrics, there), (others, sent) = evaluated(events(1100, 3, DEVICE)), evaluated(events(1100, 3))

    assert metrics == others
    np.testing.assert_array_equal(there, sent)
