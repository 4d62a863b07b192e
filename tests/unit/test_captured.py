"""A step that a graph repeats trains as the step itself does, and making the graph leaves no trace.

The graphs here call the step again: what a GPU's own graphs do is told by tests/gpu.
"""

import logging
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from stand_ins import DirectLink, EagerGraph, ForgetfulGraph, RefusingGraph, with_graphs
from torch import nn
from trainings import LEARNING, SETTINGS, bits, network, numbers, resumed, same, stop_at, trainer

from models._family import families, load_family
from objectives import _trainer
from objectives._errors import Interrupted, NonFiniteLoss
from objectives._feed import PinnedFeed
from objectives._fit import fit

EXAMPLES = Path(__file__).parents[2] / "examples"
FAMILIES = [*families().values(), load_family("my_models.py:LENET", folder=EXAMPLES)]
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def trained(learning=LEARNING, settings=SETTINGS, **options):
    run = trainer(learning, settings, on="cpu", **options)
    return numbers(fit(run)), bits(run)


def assert_graphs_change_nothing(monkeypatch, learning=LEARNING, settings=SETTINGS, **options):
    curve, weights = trained(learning, settings, **options)
    with_graphs(monkeypatch)
    repeated, again = trained(learning, settings, **options)

    assert repeated == curve
    assert same(again, weights)
    assert [graph.replays for graph in EagerGraph.made] == [3 + 4 * settings.epochs]  # 3 of them a trial


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_family_trains_the_same_in_a_graph(family, monkeypatch):
    settings = replace(SETTINGS, epochs=1)

    assert_graphs_change_nothing(
        monkeypatch, settings=settings, build=family.build, hyperparameters=family.hyperparameters()
    )


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_every_optimizer_trains_the_same_in_a_graph(optimizer, momentum, monkeypatch):
    assert_graphs_change_nothing(monkeypatch, replace(LEARNING, optimizer=optimizer, momentum=momentum))


@pytest.mark.parametrize(
    "change",
    [
        *({"schedule": schedule} for schedule in ("constant", "cosine", "one_cycle")),
        *({"normalize": kind} for kind in ("none", "standard", "log1p", "per_channel")),
        {"label_smoothing": 0.2},
        {"flip_horizontal": False, "flip_vertical": False, "rotate": False},
    ],
    ids=str,
)
def test_every_way_of_learning_is_the_same_in_a_graph(change, monkeypatch):
    assert_graphs_change_nothing(monkeypatch, replace(LEARNING, **change))


@pytest.mark.parametrize(
    "change",
    [{"clip_norm": 0.05}, {"class_weights": "balanced"}, {"class_weights": (1.0, 2.0, 0.5)}, {"precision": "bf16"}],
    ids=str,
)
def test_every_setting_is_the_same_in_a_graph(change, monkeypatch):
    assert_graphs_change_nothing(monkeypatch, settings=replace(SETTINGS, **change))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("poll", [1, 3, 5, 6, 8, 12])  # 5 batches are trained in an epoch and 2 validated
def test_interrupted_anywhere_and_resumed_in_a_new_graph_it_has_the_same_bits(optimizer, poll, monkeypatch, tmp_path):
    learning = replace(LEARNING, optimizer=optimizer)
    curve, weights = trained(learning)
    with_graphs(monkeypatch)
    first = trainer(learning, on="cpu")
    with pytest.raises(Interrupted):
        list(fit(first, should_stop=stop_at(poll)))

    second = resumed(first, tmp_path / "state.pt", on="cpu")
    list(fit(second))

    assert numbers(second.history) == curve
    assert same(bits(second), weights)


def test_a_state_loaded_into_a_trainer_that_has_a_graph_makes_another(monkeypatch, tmp_path):
    curve, weights = trained()
    with_graphs(monkeypatch)
    run = trainer(on="cpu")
    training = fit(run)
    next(training)
    torch.save(run.state_dict(), tmp_path / "state.pt")
    next(training)

    run.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    list(fit(run))

    assert numbers(run.history) == curve
    assert same(bits(run), weights)
    assert len(EagerGraph.made) == 2


def test_a_trial_stopped_early_had_a_graph_too(monkeypatch):
    still = replace(LEARNING, lr=1e-30, weight_decay=0.0)
    with_graphs(monkeypatch)

    results = list(fit(trainer(still, replace(SETTINGS, epochs=9, early_stop=2), on="cpu")))

    assert len(results) == EagerGraph.made[0].replays // 4 < 9


def test_without_a_whole_batch_or_where_it_is_not_wanted_there_is_no_graph(monkeypatch):
    with_graphs(monkeypatch)

    list(fit(trainer(on="cpu", count=12)))
    list(fit(trainer(settings=replace(SETTINGS, cuda_graph=False), on="cpu")))

    assert EagerGraph.made == []


@pytest.mark.parametrize("normalize", ["none", "standard"])
def test_events_sent_from_the_host_train_the_same_in_a_graph(normalize, monkeypatch):
    def sent(source, axes, resident, device, batch_size):
        return PinnedFeed(source, axes, batch_size, DirectLink())

    learning = replace(LEARNING, normalize=normalize)
    curve, weights = trained(learning)
    with_graphs(monkeypatch)
    monkeypatch.setattr(_trainer, "open_feed", sent)
    run = trainer(learning)
    repeated = numbers(fit(run))

    assert repeated == curve
    assert same(bits(run), weights)
    assert EagerGraph.made[0].replays == 3 + 4 * 3


class Replacing(nn.Module):
    """Counts its calls in a buffer that is another one after each."""

    def __init__(self):
        super().__init__()
        self.layers = network(None, (2, 6, 5), 3)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, batch):
        if self.training:
            self.calls = self.calls + 1
        return self.layers(batch)


class Drawing(nn.Module):
    """Leaves out its hidden layer at random, as the host's generator decides."""

    def __init__(self, draw):
        super().__init__()
        self.draw = draw
        self.first, self.second, self.flat = nn.Conv2d(2, 2, 1), nn.Linear(60, 3), nn.Flatten()

    def forward(self, batch):
        hidden = self.first(batch) if self.training and self.draw() < 0.5 else batch
        return self.second(self.flat(hidden))


def fell_back(monkeypatch, caplog, kind=EagerGraph, build=network):
    """Whether it trains as without graphs, and the one line that tells why it does."""
    torch.manual_seed(5)
    curve, weights = trained(build=build)
    with_graphs(monkeypatch, kind)
    with caplog.at_level(logging.WARNING):
        repeated, again = trained(build=build)
    (line,) = caplog.messages
    return repeated == curve and same(again, weights), line


def test_what_a_graph_refuses_is_trained_without_it_and_one_line_says_so(monkeypatch, caplog):
    equal, line = fell_back(monkeypatch, caplog, RefusingGraph)

    assert equal
    assert line.endswith("more slowly: RuntimeError: operation not permitted when stream is capturing")


def test_a_graph_that_gives_other_losses_is_not_used(monkeypatch, caplog):
    equal, line = fell_back(monkeypatch, caplog, ForgetfulGraph)

    assert equal
    assert "repeated, its losses are" in line


def test_a_network_that_replaces_its_buffers_is_trained_without_a_graph(monkeypatch, caplog):
    equal, line = fell_back(monkeypatch, caplog, build=lambda *_: Replacing())

    assert equal
    assert "it replaces parameters or buffers" in line


@pytest.mark.parametrize("draw", [random.random, np.random.random], ids=["python", "numpy"])
def test_a_network_that_draws_on_the_host_is_trained_without_a_graph(draw, monkeypatch, caplog):
    with_graphs(monkeypatch)

    with caplog.at_level(logging.WARNING):
        list(fit(trainer(on="cpu", build=lambda *_: Drawing(draw))))

    assert ["it draws random numbers on the host" in line for line in caplog.messages] == [True]


def test_what_the_step_itself_raises_is_raised(monkeypatch):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, batch):
            raise KeyError("a mistake of the family")

    with_graphs(monkeypatch)

    with pytest.raises(KeyError, match="a mistake of the family"):
        list(fit(trainer(on="cpu", build=lambda *_: Broken())))


def test_a_loss_that_is_not_finite_is_found_in_a_graph_too(monkeypatch):
    with_graphs(monkeypatch)
    run = trainer(replace(LEARNING, lr=1e30, schedule="constant", warmup=0.0, optimizer="sgd"), on="cpu")

    with pytest.raises(NonFiniteLoss, match=r"the loss of batch \d of 5 in epoch 1 is"):
        list(fit(run))
