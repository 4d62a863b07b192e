"""Small trainings on any device, for tests of the step and what feeds it."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from objectives import multiclass
from objectives._events import Events
from objectives._fit import FitSettings, Trainer
from objectives._learning import Learning
from objectives._resident import Resident
from objectives._seeds import build_model
from objectives._source import MemorySource
from objectives._statistics import normalizer

SHAPE = (2, 6, 5)
STATISTICS = {
    "mean": 0.4,
    "std": 1.3,
    "channel_mean": [0.8, 0.1],
    "channel_std": [1.1, 0.9],
    "log_mean": 0.1,
    "log_std": 0.5,
}
SETTINGS = FitSettings(epochs=3, seed=11, metric="accuracy", direction="maximize")
LEARNING = Learning(batch_size=16, lr=3e-3, flip_horizontal=True, flip_vertical=True, rotate=True)


@dataclass(frozen=True)
class Nothing:
    """No hyperparameters."""


def network(_, shape, outputs):
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Flatten(),
        nn.Linear(8 * height * width, outputs),
    )


def images(count, seed, dtype=np.float32):
    """Images (N, 6, 5, 2) whose first channel is brighter the higher the label, and labels of 3 classes."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    values = random.standard_normal((count, *SHAPE[1:], SHAPE[0])).astype(np.float32)
    values[..., 0] += labels[:, None, None]
    if np.dtype(dtype).kind == "u":
        values = np.clip(values * 40 + 100, 0, 255)
    return values.astype(dtype), labels


def events(count, seed, resident_on=None, dtype=np.float32):
    """Those images as events, on the device too if one is given."""
    values, labels = images(count, seed, dtype)
    source = MemorySource(values)
    return Events(source, labels, resident=resident_on and Resident.upload(source, "NHWC", resident_on))


def trainer(
    learning=LEARNING, settings=SETTINGS, *, on=None, count=72, build=network, hyperparameters=None, fresh=None
):
    """A trainer of 4 whole batches and one of 8; its events lie on the device that `on` names."""
    training, validation = events(count, 1, on), events(70, 2, on)
    options = multiclass.TASK.options()
    labels = training.targets
    task = multiclass.TASK.create(options, multiclass.TASK.summarise(options, labels, labels, None))
    model = fresh or build_model(build, hyperparameters or Nothing(), SHAPE, task.outputs, settings.seed)
    normalize = normalizer(learning.normalize, STATISTICS)
    return Trainer(model, task, learning, settings, training, validation, normalize)


def numbers(results):
    """Everything of the results that is not a time."""
    return [replace(result, seconds=0.0, events_per_second=0.0) for result in results]


def bits(run):
    """Weights, running statistics and the optimizer's moments."""
    moments = [
        value for state in run.optimizer.state.values() for value in state.values() if isinstance(value, torch.Tensor)
    ]
    return [tensor.detach().cpu().clone() for tensor in (*run.model.state_dict().values(), *moments)]


def same(one, other):
    return len(one) == len(other) and all(map(torch.equal, one, other))


def stop_at(poll):
    """A `should_stop` that says so at its nth call, from 1."""
    calls = iter(range(1, 10**6))
    return lambda: next(calls) == poll


def resumed(run, path, **options):
    """A new trainer, made as `run` was, that goes on from its saved state."""
    torch.save(run.state_dict(), path)
    torch.manual_seed(int(np.random.default_rng().integers(2**31)))  # whatever another process has drawn before
    new = trainer(run.learning, run.settings, fresh=options.pop("build", network)(None, SHAPE, 3), **options)
    new.load_state_dict(torch.load(path, weights_only=True))
    return new
