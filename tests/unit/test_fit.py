"""A training is a function of its seed and data, can stop anywhere, and goes on with the same bits."""

import math
import threading
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

from objectives import multiclass, regression
from objectives._fit import Events, FitSettings, Interrupted, NonFiniteLoss, Trainer, fit
from objectives._learning import Learning
from objectives._seeds import build_model
from objectives._source import MemorySource
from storage.errors import DataError

SETTINGS = FitSettings(epochs=4, seed=11, metric="accuracy", direction="maximize")
LEARNING = Learning(batch_size=16, lr=3e-3, flip_horizontal=True, flip_vertical=True, rotate=True)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@dataclass(frozen=True)
class Width:
    channels: int = 8


def network(width, shape, outputs):
    channels, height, columns = shape
    return nn.Sequential(
        nn.Conv2d(channels, width.channels, 3, padding=1),
        nn.BatchNorm2d(width.channels),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Flatten(),
        nn.Linear(width.channels * height * columns, outputs),
    )


def events(count, seed, classes=3):
    """Images (N, 6, 5, 2) in NHWC whose first channel is brighter the higher the label."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = random.standard_normal((count, 6, 5, 2)).astype(np.float32)
    images[..., 0] += labels[:, None, None]
    return Events(MemorySource(images), labels)


TRAINING, VALIDATION = events(60, 1), events(70, 2)


def task_of(training=TRAINING, kind=multiclass.TASK):
    options = kind.options()
    return kind.create(options, kind.summarise(options, training.targets, training.targets, None))


def trainer(learning=LEARNING, settings=SETTINGS, *, training=TRAINING, validation=VALIDATION, task=None, model=None):
    task = task or task_of()
    model = model or build_model(network, Width(), (2, 6, 5), task.outputs, settings.seed)
    return Trainer(model, task, learning, settings, training, validation, lambda batch: batch)


def numbers(result):
    """Everything of a result that is not a time."""
    return replace(result, seconds=0.0, events_per_second=0.0)


def curve(results):
    return [numbers(result) for result in results]


def same_bits(one, other):
    one, other = one.state_dict(), other.state_dict()
    return all(torch.equal(one[name], other[name]) for name in one) and one.keys() == other.keys()


def saved_and_loaded(old, path, *args, **kwargs):
    torch.save(old.state_dict(), path)
    torch.manual_seed(int(np.random.default_rng().integers(2**31)))  # whatever another process has drawn before
    new = trainer(*args, model=network(Width(), (2, 6, 5), old.task.outputs), **kwargs)
    new.load_state_dict(torch.load(path, weights_only=True))
    return new


def stop_at(poll):
    """A `should_stop` that says so at its nth call, from 1."""
    calls = iter(range(1, 10**6))
    return lambda: next(calls) == poll


def test_it_learns():
    results = list(fit(trainer(replace(LEARNING, lr=1e-2), replace(SETTINGS, epochs=10))))

    assert results[-1].metrics["accuracy"] > 0.8
    assert results[-1].validation_loss < results[0].validation_loss
    assert results[-1].training_loss < results[0].training_loss


def test_results_number_the_epochs_and_time_them():
    results = list(fit(trainer()))

    assert [result.epoch for result in results] == [1, 2, 3, 4]
    assert all(result.seconds > 0 and result.events_per_second > 0 for result in results)


def test_a_rerun_has_the_same_bits_and_another_seed_has_others():
    first, again, other = trainer(), trainer(), trainer(settings=replace(SETTINGS, seed=12))
    curves = [curve(fit(run)) for run in (first, again, other)]

    assert curves[0] == curves[1] != curves[2]
    assert same_bits(first.model, again.model)


def test_two_trainings_in_turns_do_not_disturb_each_other():
    alone, left, right = trainer(), trainer(), trainer(settings=replace(SETTINGS, seed=12))
    expected = curve(fit(alone))

    assert [numbers(result) for result, _ in zip(fit(left), fit(right), strict=True)] == expected


def test_every_epoch_sees_every_event_in_an_order_of_its_own():
    plain = replace(LEARNING, flip_horizontal=False, flip_vertical=False, rotate=False)
    seen = []
    model = network(Width(), (2, 6, 5), 3)
    model.register_forward_pre_hook(
        lambda module, args: seen.extend(args[0][:, 1, 0, 0].tolist()) if module.training else None
    )

    list(fit(trainer(plain, replace(SETTINGS, epochs=2), model=model)))

    assert sorted(seen[:60]) == sorted(seen[60:])
    assert len(set(seen[:60])) == 60
    assert seen[:60] != seen[60:]


def test_a_model_given_in_evaluation_mode_is_trained_all_the_same():
    usual, given = trainer(), trainer(model=build_model(network, Width(), (2, 6, 5), 3, SETTINGS.seed).eval())

    assert curve(fit(given)) == curve(fit(usual))


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_two_epochs_and_two_more_in_a_new_trainer_have_the_bits_of_four(optimizer, schedule, tmp_path):
    learning = replace(LEARNING, optimizer=optimizer, schedule=schedule)
    straight = trainer(learning)
    expected = curve(fit(straight))

    first = trainer(learning)
    for _ in zip(range(2), fit(first), strict=False):
        pass
    second = saved_and_loaded(first, tmp_path / "state.pt", learning)

    assert curve(fit(second)) == expected[2:]
    assert curve(second.history) == expected
    assert same_bits(second.model, straight.model)
    assert second.best.epoch == straight.best.epoch
    assert all(torch.equal(second.best.weights[name], straight.best.weights[name]) for name in straight.best.weights)


# An epoch asks before each of 4 training batches and 2 validation batches.
@pytest.mark.parametrize("poll", [1, 3, 5, 6, 7, 10, 24])
def test_interrupted_before_any_batch_and_resumed_it_has_the_same_bits(poll, tmp_path):
    straight = trainer()
    expected = curve(fit(straight))

    first = trainer()
    with pytest.raises(Interrupted):
        list(fit(first, should_stop=stop_at(poll)))
    second = saved_and_loaded(first, tmp_path / "state.pt")
    list(fit(second))

    assert curve(second.history) == expected
    assert same_bits(second.model, straight.model)


def test_interrupted_it_goes_on_in_the_same_trainer_too():
    straight, broken = trainer(), trainer()
    expected = curve(fit(straight))

    with pytest.raises(Interrupted, match="before step 3 of epoch 2"):
        list(fit(broken, should_stop=stop_at(9)))
    torch.rand(3)
    list(fit(broken))

    assert curve(broken.history) == expected
    assert same_bits(broken.model, straight.model)


def test_a_regression_resumes_with_the_same_bits_too(tmp_path):
    targets = np.random.default_rng(3).uniform(1, 2, 60)
    training = Events(TRAINING.source, targets)
    validation = Events(VALIDATION.source, np.resize(targets, 70))
    settings = replace(SETTINGS, metric="rmse", direction="minimize", clip_norm=0.1)
    options = {"settings": settings, "training": training, "validation": validation}
    task = task_of(training, regression.TASK)
    straight, first = trainer(task=task, **options), trainer(task=task, **options)
    expected = curve(fit(straight))

    next(fit(first))
    second = saved_and_loaded(first, tmp_path / "state.pt", task=task, **options)

    assert curve(fit(second)) == expected[1:]
    assert same_bits(second.model, straight.model)


def test_a_state_of_another_seed_or_another_number_of_steps_is_refused():
    state = trainer().state_dict()

    with pytest.raises(ValueError, match="the saved seed is 11, that of this training 12"):
        trainer(settings=replace(SETTINGS, seed=12)).load_state_dict(state)
    with pytest.raises(ValueError, match="the saved steps_per_epoch is 4, that of this training 8"):
        trainer(replace(LEARNING, batch_size=8)).load_state_dict(state)


def test_a_finished_training_gives_nothing_more():
    done = trainer()
    list(fit(done))

    assert done.finished
    assert list(fit(done)) == []


def test_the_best_epochs_weights_give_its_metric_again():
    run = trainer(replace(LEARNING, lr=5e-2, schedule="constant"), replace(SETTINGS, epochs=6))
    results = list(fit(run))
    accuracies = [result.metrics["accuracy"] for result in results]
    again = trainer(settings=replace(SETTINGS, epochs=6))
    again.model.load_state_dict(run.best.weights)

    assert run.best.epoch == accuracies.index(max(accuracies)) + 1
    assert again._validate(lambda: False)[0]["accuracy"] == run.best.value == max(accuracies)


def test_training_ends_early_when_nothing_got_better_for_so_many_epochs():
    frozen = replace(LEARNING, lr=1e-30, weight_decay=0.0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(60, 3))

    results = list(fit(trainer(frozen, replace(SETTINGS, epochs=9, early_stop=2), model=model)))

    assert [result.epoch for result in results] == [1, 2, 3]


def test_a_loss_that_is_not_finite_is_named_with_its_epoch_and_batch():
    images = np.zeros((60, 6, 5, 2), np.float32)
    images[7] = np.nan
    training = Events(MemorySource(images), TRAINING.targets)

    with pytest.raises(NonFiniteLoss, match=r"the loss of batch [1-4] of 4 in epoch 1 is nan"):
        list(fit(trainer(training=training)))


def test_a_validation_loss_that_is_not_finite_is_named_too():
    validation = Events(MemorySource(np.full((70, 6, 5, 2), np.nan, np.float32)), VALIDATION.targets)

    with pytest.raises(NonFiniteLoss, match="the loss of the validation in epoch 1 is nan"):
        list(fit(trainer(validation=validation)))


@pytest.mark.parametrize("end", ["interrupt", "close", "fail"])
def test_no_thread_is_left_however_it_ends(end):
    running = fit(trainer(), should_stop=stop_at(3 if end == "interrupt" else 10**5))
    if end == "close":
        next(running)
        running.close()
    elif end == "interrupt":
        with pytest.raises(Interrupted):
            next(running)
    else:
        broken = Events(MemorySource(np.full((60, 6, 5, 2), np.inf, np.float32)), TRAINING.targets)
        with pytest.raises(NonFiniteLoss):
            next(fit(trainer(training=broken)))

    assert [thread.name for thread in threading.enumerate() if thread.name == "prefetch"] == []


@pytest.mark.parametrize(("count", "steps", "trained"), [(33, 2, 32), (34, 3, 34), (32, 2, 32), (9, 1, 9)])
def test_an_event_alone_in_the_last_batch_is_left_out(count, steps, trained):
    seen = []
    model = network(Width(), (2, 6, 5), 3)
    model.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])) if module.training else None)

    list(fit(trainer(settings=replace(SETTINGS, epochs=1), training=events(count, 3), model=model)))

    assert len(seen) == steps
    assert sum(seen) == trained


def test_training_loss_is_the_mean_over_all_trained_events():
    model = nn.Sequential(nn.Flatten(), nn.Linear(60, 3))
    still = replace(LEARNING, lr=1e-30, weight_decay=0.0, flip_horizontal=False, flip_vertical=False, rotate=False)

    (result,) = fit(trainer(still, replace(SETTINGS, epochs=1), validation=TRAINING, model=model))

    assert result.training_loss == pytest.approx(result.validation_loss, rel=1e-6)


def test_the_reported_learning_rate_is_that_of_the_epochs_last_step():
    learning = replace(LEARNING, lr=1e-2, schedule="cosine", warmup=0.0)

    results = list(fit(trainer(learning)))

    assert results[-1].learning_rate == pytest.approx(1e-2 * (1 + math.cos(math.pi * 15 / 16)) / 2)


def test_gradients_are_clipped():
    learning = replace(LEARNING, optimizer="sgd", lr=1.0, momentum=0.0, nesterov=False, weight_decay=0.0)
    learning = replace(learning, schedule="constant", warmup=0.0)
    run = trainer(learning, replace(SETTINGS, epochs=1, clip_norm=1e-3))
    before = [parameter.detach().clone() for parameter in run.model.parameters()]
    list(fit(run))
    moved = [now - then for now, then in zip(run.model.parameters(), before, strict=True)]

    assert 0 < math.sqrt(sum(float((part.detach() ** 2).sum()) for part in moved)) <= 4 * 1e-3 * 1.001


def test_balanced_weights_make_every_class_count_alike():
    unequal = replace(TRAINING, targets=np.repeat([0, 1, 2], [6, 18, 36]))
    still = replace(LEARNING, lr=1e-30, weight_decay=0.0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(60, 3))
    nn.init.zeros_(model[1].weight)
    model[1].bias.data = torch.tensor([0.0, 1.0, 3.0])
    expected = float(-torch.log_softmax(model[1].bias.detach(), 0).mean())
    settings = replace(SETTINGS, epochs=1, class_weights="balanced")

    (result,) = fit(trainer(still, settings, training=unequal, model=model))

    assert result.training_loss == pytest.approx(expected)


def test_given_weights_multiply_the_losses_of_their_class():
    still = replace(LEARNING, lr=1e-30, weight_decay=0.0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(60, 3))
    nn.init.zeros_(model[1].weight)
    nn.init.zeros_(model[1].bias)

    (result,) = fit(trainer(still, replace(SETTINGS, epochs=1, class_weights=(0.0, 1.0, 5.0)), model=model))

    assert result.training_loss == pytest.approx(2 * math.log(3))
    assert result.validation_loss == pytest.approx(math.log(3))


def test_bf16_trains_and_gives_other_numbers_than_fp32():
    single = list(fit(trainer(settings=replace(SETTINGS, epochs=1))))
    half = list(fit(trainer(settings=replace(SETTINGS, epochs=1, precision="bf16"))))

    assert half[0].training_loss != single[0].training_loss
    assert half[0].training_loss == pytest.approx(single[0].training_loss, rel=0.05)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"validation": events(0, 2)}, DataError, "there are 0 validation events; at least 1"),
        ({"training": events(1, 2)}, DataError, "there are 1 training events; at least 2"),
        ({"settings": replace(SETTINGS, metric="rmse")}, ValueError, "metric is 'rmse'; accepted are accuracy"),
        ({"settings": replace(SETTINGS, metric="log_loss")}, ValueError, "must be 'minimize'"),
        (
            {"settings": replace(SETTINGS, class_weights=(1.0, 2.0))},
            ValueError,
            "2 numbers; accepted are 3, for 0, 1, 2",
        ),
        ({"settings": replace(SETTINGS, device="cuda:99")}, ValueError, "PyTorch sees . CUDA devices here"),
        (
            {"settings": replace(SETTINGS, class_weights="balanced"), "training": events(8, 2, classes=2)},
            DataError,
            "no training event is of class 2",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_before_the_first_step(change, error, message):
    with pytest.raises(error, match=message):
        trainer(task=task_of(), **change)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0), ("seed", -1), ("direction", "up"), ("early_stop", 0), ("clip_norm", 0.0),
        ("class_weights", "equal"), ("class_weights", (-1.0, 2.0)), ("device", "gpu"), ("precision", "fp16"),
    ],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=rf"^{name} is "):
        replace(SETTINGS, **{name: value})
