"""An evaluation's numbers belong to each event and to nothing around it."""

import numpy as np
import pytest
import torch
from torch import nn

from objectives import multiclass, regression
from objectives._errors import Interrupted
from objectives._evaluation import evaluate
from objectives._events import Events
from objectives._source import MemorySource
from storage.errors import DataError

COUNT = 150


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def images():
    return np.random.default_rng(0).standard_normal((COUNT, 9, 8, 6)).astype(np.float32)


@pytest.fixture
def labels():
    return np.random.default_rng(1).integers(0, 3, COUNT)


@pytest.fixture
def task(labels):
    return multiclass.TASK.create(
        multiclass.MulticlassOptions(), multiclass.TASK.summarise(multiclass.MulticlassOptions(), labels, labels, None)
    )


@pytest.fixture
def model():
    torch.manual_seed(0)
    body = (nn.Conv2d(6, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(16 * 42, 3))
    return nn.Sequential(*body).to(memory_format=torch.channels_last)


def evaluated(model, task, images, targets, **options):
    events = Events(MemorySource(images), targets)
    return evaluate(model, task, events, lambda batch: batch, torch.device("cpu"), **options)


def test_metrics_and_loss_are_those_of_all_events_at_once(model, task, images, labels):
    metrics, predictions = evaluated(model, task, images, labels)
    with torch.inference_mode():
        logits = model.eval()(torch.from_numpy(images).permute(0, 3, 1, 2))

    assert set(metrics) == {"loss", *task.metrics}
    np.testing.assert_allclose(predictions, torch.softmax(logits.double(), 1).numpy(), atol=1e-6)
    assert metrics["loss"] == pytest.approx(nn.functional.cross_entropy(logits, torch.from_numpy(labels)).item())
    assert metrics["loss"] == pytest.approx(metrics["log_loss"], rel=1e-6)
    assert metrics["accuracy"] == np.mean(predictions.argmax(1) == labels)


@pytest.mark.parametrize("chosen", [slice(0, 1), slice(3, 10), slice(0, 63), slice(64, 129), slice(50, 150)])
def test_an_events_prediction_has_the_same_bits_whatever_is_evaluated_with_it(model, task, images, labels, chosen):
    _, together = evaluated(model, task, images, labels)
    _, apart = evaluated(model, task, images[chosen], labels[chosen])

    np.testing.assert_array_equal(apart, together[chosen])


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_in_its_mode_and_its_running_statistics_as_they_were(model, task, images, labels, training):
    model.train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    evaluated(model, task, images, labels)

    assert model.training is training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_no_events_give_nan_and_no_predictions(model, task, images, labels):
    metrics, predictions = evaluated(model, task, images[:0], labels[:0])

    assert predictions.shape == (0, 3)
    assert all(np.isnan(value) for value in metrics.values())


def test_predictions_of_a_regression_are_in_target_units(images):
    targets = np.random.default_rng(2).uniform(100, 200, (COUNT, 1))
    options = regression.RegressionOptions()
    task = regression.TASK.create(options, regression.TASK.summarise(options, targets, targets, None))
    model = nn.Sequential(nn.Flatten(), nn.Linear(432, 1))
    nn.init.zeros_(model[1].weight)
    nn.init.zeros_(model[1].bias)

    metrics, predictions = evaluated(model, task, images, targets)

    np.testing.assert_allclose(predictions, targets.mean())
    assert metrics["rmse"] == pytest.approx(targets.std())
    assert metrics["loss"] == pytest.approx(1)


def test_a_label_unknown_to_the_task_is_a_data_error(model, task, images, labels):
    with pytest.raises(DataError, match="1 of 150 labels are 9"):
        evaluated(model, task, images, np.where(np.arange(COUNT) == 4, 9, labels))


def test_it_can_be_stopped_between_batches(model, task, images, labels):
    answers = iter([False, True])

    with pytest.raises(Interrupted):
        evaluated(model, task, images, labels, should_stop=lambda: next(answers))
    assert next(answers, None) is None


def test_events_and_targets_of_different_number_are_refused(images, labels):
    with pytest.raises(ValueError, match="150 events but 149 targets"):
        Events(MemorySource(images), labels[1:])
