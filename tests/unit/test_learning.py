"""The learning hyperparameters, the optimizers and the schedules they describe."""

from dataclasses import replace

import numpy as np
import optuna
import pytest
import torch
from torch import nn

from models._hyperparameters import hyperparameters, suggest
from objectives._learning import Learning
from objectives._optimizers import learning_rates, load_optimizer, make_optimizer
from objectives._statistics import NORMALIZATIONS

OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))


def rates(learning, total):
    """The learning rate of each step, as a fraction of the highest."""
    return list(learning_rates(learning, total, np.arange(total)) / learning.lr)


def test_what_is_searched_by_default():
    searched = {parameter.name for parameter in hyperparameters(Learning) if parameter.searched}

    assert searched == {
        "optimizer", "lr", "momentum", "weight_decay", "schedule", "batch_size", "normalize",
        "flip_horizontal", "flip_vertical", "rotate",
    }  # fmt: skip


def test_every_suggestion_makes_an_optimizer_and_a_schedule(model):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    for _ in range(50):
        learning = suggest(Learning, study.ask())
        make_optimizer(model, learning)
        assert (learning_rates(learning, 10, np.arange(10)) > 0).all()


def test_momentum_is_asked_for_only_where_it_counts():
    values = {
        "optimizer": "sgd", "lr": 0.01, "momentum": 0.8, "weight_decay": 1e-3, "schedule": "cosine",
        "batch_size": 32, "normalize": "none", "flip_horizontal": False, "flip_vertical": False, "rotate": False,
    }  # fmt: skip

    assert suggest(Learning, optuna.trial.FixedTrial(values)).momentum == 0.8
    assert suggest(Learning, optuna.trial.FixedTrial({**values, "optimizer": "adam"})).momentum == 0.9


def test_normalizations_are_those_that_the_data_path_knows():
    (normalize,) = (parameter for parameter in hyperparameters(Learning) if parameter.name == "normalize")

    assert normalize.range.options == NORMALIZATIONS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("optimizer", "lion"), ("lr", 0.0), ("lr", float("nan")), ("momentum", 1.0), ("weight_decay", -1e-3),
        ("schedule", "linear"), ("warmup", 1.0), ("batch_size", 1), ("batch_size", 64.0), ("label_smoothing", 1.0),
        ("normalize", "minmax"), ("rotate", 1),
    ],
)  # fmt: skip
def test_values_that_mean_nothing_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=rf"^{name} is "):
        Learning(**{name: value})


def test_values_outside_the_default_ranges_are_accepted_if_they_mean_something():
    learning = Learning(weight_decay=0.0, batch_size=48, lr=1e-6, momentum=0.0, nesterov=False)

    assert learning.batch_size == 48


def test_nesterov_without_momentum_is_plain_sgd():
    weight = torch.nn.Parameter(torch.ones(3))

    optimizer = make_optimizer(torch.nn.ParameterList([weight]), Learning(optimizer="sgd", momentum=0.0, nesterov=True))

    assert optimizer.param_groups[0]["nesterov"] is False


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_norms_and_biases_do_not_decay(model, name):
    optimizer = make_optimizer(model, Learning(optimizer=name, weight_decay=0.5))
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}

    assert [decays[id(p)] for p in model.parameters()] == [0.5, 0.0, 0.0, 0.0, 0.5, 0.0]


def test_frozen_parameters_are_left_alone(model):
    model[0].requires_grad_(False)

    optimizer = make_optimizer(model, Learning())

    assert sum(len(group["params"]) for group in optimizer.param_groups) == 4


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_reduces_a_loss_and_gives_the_same_bits_twice(name):
    def trained():
        torch.manual_seed(1)
        model = nn.Linear(5, 1)
        optimizer = make_optimizer(model, Learning(optimizer=name, lr=1e-2))
        inputs, wanted = torch.randn(32, 5), torch.randn(32, 1)
        losses = []
        for _ in range(20):
            loss = nn.functional.mse_loss(model(inputs), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses, model.weight.detach().clone()

    (first, weight), (second, again) = trained(), trained()

    assert first[-1] < first[0]
    assert first == second
    assert torch.equal(weight, again)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_rate_is_one_tensor_that_counts_at_the_next_step(model, name):
    optimizer = make_optimizer(model, Learning(optimizer=name, lr=1e-2))
    before = model[3].weight.detach().clone()
    rate = optimizer.param_groups[0]["lr"]
    rate.zero_()
    model(torch.randn(6, 2, 4, 4)).sum().backward()
    optimizer.step()
    still = torch.equal(model[3].weight, before)
    rate.fill_(0.1)
    optimizer.step()

    assert all(group["lr"] is rate for group in optimizer.param_groups)
    assert still
    assert not torch.equal(model[3].weight, before)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_loaded_optimizer_has_the_saved_moments_and_its_own_hyperparameters(model, name):
    def stepped(optimizer):
        torch.manual_seed(3)
        optimizer.zero_grad()
        model(torch.randn(6, 2, 4, 4)).square().sum().backward()
        optimizer.step()
        return optimizer

    saved = stepped(make_optimizer(model, Learning(optimizer=name, lr=0.5, weight_decay=0.1))).state_dict()
    optimizer = make_optimizer(model, Learning(optimizer=name, lr=0.25, weight_decay=0.2))
    rate = optimizer.param_groups[0]["lr"]

    load_optimizer(optimizer, saved)

    assert all(group["lr"] is rate for group in optimizer.param_groups)
    assert [float(rate), *(group["weight_decay"] for group in optimizer.param_groups)] == [0.25, 0.2, 0.0]
    torch.testing.assert_close(optimizer.state_dict()["state"], saved["state"], rtol=0, atol=0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_moments_of_zero_train_as_those_that_are_not_there_yet(name):
    def trained(*, zeros):
        torch.manual_seed(1)
        model = nn.Linear(5, 2)
        optimizer = make_optimizer(model, Learning(optimizer=name, lr=1e-2, weight_decay=0.1))
        weights = [parameter.detach().clone() for parameter in model.parameters()]
        inputs = torch.randn(8, 5)
        if zeros:  # as a graph's warm-up leaves them
            model(inputs).square().mean().backward()
            optimizer.step()
            with torch.no_grad():
                for parameter, weight in zip(model.parameters(), weights, strict=True):
                    parameter.copy_(weight)
                    for moment in optimizer.state[parameter].values():
                        moment.zero_()
        for _ in range(3):
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()
        return model.weight.detach()

    assert torch.equal(trained(zeros=True), trained(zeros=False))


def test_the_optimizers_that_pytorch_fuses_on_a_cpu_are_fused(model):
    fused = [make_optimizer(model, Learning(optimizer=name)).defaults.get("fused") for name in OPTIMIZERS]

    assert fused == [True, True, True, None]


def test_momentum_reaches_the_optimizers_that_have_it(model):
    learning = Learning(momentum=0.85)

    for name in ("sgd", "rmsprop"):
        optimizer = make_optimizer(model, replace(learning, optimizer=name))
        assert optimizer.param_groups[0]["momentum"] == 0.85


def test_a_constant_rate_stays_where_the_warm_up_left_it():
    assert rates(Learning(schedule="constant", warmup=0.2), 20) == pytest.approx([0.25, 0.5, 0.75, *[1.0] * 17])


def test_a_cosine_falls_from_the_highest_rate_towards_zero():
    found = rates(Learning(schedule="cosine", warmup=0.0), 100)

    assert found[0] == 1
    assert found[50] == pytest.approx(0.5)
    assert 0 < found[-1] < 1e-3
    assert found == sorted(found, reverse=True)


def test_a_cosine_with_warm_up_rises_linearly_first():
    found = rates(Learning(schedule="cosine", warmup=0.1), 100)

    assert found[:11] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0])
    assert found[10:] == sorted(found[10:], reverse=True)


def test_one_cycle_is_that_of_pytorch_and_has_its_own_warm_up():
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    reference = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=100, cycle_momentum=False)
    expected = []
    for _ in range(100):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(expected) < 100:
            reference.step()

    assert rates(Learning(schedule="one_cycle", warmup=0.2), 100) == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
@pytest.mark.parametrize("total", [1, 2, 3])
def test_the_shortest_trainings_have_a_rate_above_zero(schedule, total):
    found = rates(Learning(schedule=schedule, warmup=0.9), total)

    assert all(0 < rate <= 1 for rate in found)
