"""What every task of the folder keeps to; a new file is tested because it exists."""

import json
import math
from dataclasses import FrozenInstanceError, fields, is_dataclass

import numpy as np
import pytest
import torch

from objectives._task import load_task, tasks
from storage.errors import DataError

NAMES = ("gamma", "electron", "muon")


@pytest.fixture(params=sorted(tasks()))
def kind(request):
    return tasks()[request.param]


@pytest.fixture
def raw(kind):
    random = np.random.default_rng(3)
    if kind.classification:
        labels = np.repeat([0, 1, 2], 8) if kind.name != "binary" else np.repeat([1, 2], 12)
        return random.permutation(labels)
    return random.uniform(50, 1000, (24, 1)).astype(np.float32)


@pytest.fixture
def summary(kind, raw):
    return kind.summarise(kind.options(), raw, raw[:18], NAMES)


@pytest.fixture
def task(kind, summary):
    return kind.create(kind.options(), summary)


@pytest.fixture
def logits(task):
    return torch.randn(24, task.outputs, generator=torch.Generator().manual_seed(0))


def test_it_is_named_as_its_file(kind):
    assert load_task(kind.name) is kind


def test_its_options_are_a_frozen_dataclass_with_defaults(kind):
    options = kind.options()

    assert is_dataclass(options)
    for field in fields(options):
        with pytest.raises(FrozenInstanceError):
            setattr(options, field.name, None)


def test_its_summary_survives_json_and_rebuilds_the_same_task(kind, summary, task):
    assert kind.create(kind.options(), json.loads(json.dumps(summary))) == task


def test_metrics_and_default_of_the_kind_are_those_of_the_task(kind, task):
    assert dict(task.metrics) == dict(kind.metrics)
    assert task.default_metric == kind.default_metric
    assert set(kind.metrics.values()) <= {"maximize", "minimize"}


def test_only_a_classification_has_classes(kind, task):
    assert bool(task.classes) == kind.classification


def test_encoded_targets_are_class_indices_or_one_float_column(kind, task, raw):
    encoded = task.encode(raw)

    if kind.classification:
        assert encoded.dtype == np.int64
        assert encoded.shape == (24,)
        assert set(encoded.tolist()) == set(range(len(task.classes)))
    else:
        assert encoded.dtype == np.float32
        assert encoded.shape == (24, 1)


def test_a_column_of_shape_n_by_1_encodes_as_one_of_shape_n(task, raw):
    np.testing.assert_array_equal(task.encode(raw.reshape(-1)), task.encode(raw.reshape(-1, 1)))


def test_targets_with_several_values_per_event_are_refused(kind):
    with pytest.raises(DataError, match="3 values per event"):
        kind.summarise(kind.options(), np.ones((4, 3)), np.ones((4, 3)), None)


def test_targets_that_are_no_numbers_are_refused(kind):
    with pytest.raises(DataError, match="dtype"):
        kind.summarise(kind.options(), np.array([b"muon", b"gamma"]), np.array([b"muon"]), None)


def test_no_targets_at_all_are_refused(kind):
    with pytest.raises(DataError):
        kind.summarise(kind.options(), np.array([], dtype=np.int64), np.array([], dtype=np.int64), None)


def test_each_event_has_a_finite_loss_with_a_gradient(task, raw, logits):
    outputs = logits.requires_grad_()
    losses = task.loss(outputs, torch.from_numpy(task.encode(raw)))
    losses.sum().backward()

    assert losses.shape == (24,)
    assert torch.isfinite(losses).all()
    assert (outputs.grad.abs().sum(dim=1) > 0).all()


def test_an_events_loss_does_not_depend_on_the_others(task, raw, logits):
    encoded = torch.from_numpy(task.encode(raw))
    together = task.loss(logits, encoded)
    alone = torch.cat([task.loss(logits[i : i + 1], encoded[i : i + 1]) for i in range(24)])

    torch.testing.assert_close(together, alone)


def test_weights_multiply_the_losses(task, raw, logits):
    encoded = torch.from_numpy(task.encode(raw))
    weights = torch.linspace(0, 2, 24)

    torch.testing.assert_close(task.loss(logits, encoded, weights), task.loss(logits, encoded) * weights)


def test_label_smoothing_makes_a_sure_and_right_answer_of_a_classifier_cost_something(kind, task, raw):
    encoded = torch.from_numpy(task.encode(raw))
    if task.outputs > 1:
        sure = torch.nn.functional.one_hot(encoded, task.outputs) * 40.0
    else:
        sure = (encoded * 40.0 - 20.0).reshape(-1, 1)

    plain, smooth = task.loss(sure, encoded), task.loss(sure, encoded, label_smoothing=0.1)

    if kind.classification:
        assert (plain < 1e-6).all()
        assert (smooth > 0.5).all()
    else:
        assert torch.equal(plain, smooth)


def test_predictions_are_float64_with_one_column_per_name(task, logits):
    predictions = task.predict(logits)

    assert predictions.dtype == torch.float64
    assert predictions.shape == (24, len(task.columns))


def test_every_metric_is_scored_and_finite(task, raw, logits):
    scores = task.score(task.predict(logits).numpy(), raw)

    assert list(scores) == list(task.metrics)
    assert all(isinstance(value, float) and math.isfinite(value) for value in scores.values())


def test_metrics_of_a_single_event_never_raise(task, raw, logits):
    scores = task.score(task.predict(logits[:1]).numpy(), raw[:1])

    assert list(scores) == list(task.metrics)


def test_predictions_that_are_not_finite_never_raise(task, raw):
    scores = task.score(np.full((24, len(task.columns)), np.nan), raw)

    assert list(scores) == list(task.metrics)


def test_training_towards_the_encoded_targets_improves_the_default_metric(kind, task, raw):
    encoded = torch.from_numpy(task.encode(raw))
    outputs = torch.zeros(24, task.outputs, requires_grad=True)
    before = task.score(task.predict(outputs.detach()).numpy(), raw)[task.default_metric]
    for _ in range(20):
        (gradient,) = torch.autograd.grad(task.loss(outputs, encoded).sum(), outputs)
        outputs = (outputs - 0.3 * gradient).detach().requires_grad_()
    after = task.score(task.predict(outputs.detach()).numpy(), raw)[task.default_metric]

    assert after > before if task.metrics[task.default_metric] == "maximize" else after < before
