"""A network's predictions and their metrics."""

from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from objectives._data import EventSource, batches, to_tensor
from objectives._device import autocast
from objectives._errors import Interrupted
from objectives._events import Events
from objectives._fit_settings import Precision
from objectives._task import Task

Normalizer = Callable[[Tensor], Tensor]

_BATCH = 64  # events


def never() -> bool:
    """Do not stop."""
    return False


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    task: Task,
    events: Events,
    normalize: Normalizer,
    device: torch.device,
    *,
    precision: Precision = "auto",
    should_stop: Callable[[], bool] = never,
) -> tuple[dict[str, float], NDArray[np.float64]]:
    """Return the metrics, "loss" (the mean over all events) among them, and the predictions (N, K).

    The model is put into evaluation mode and left in its former one. Losses are summed in float64.

    Raises:
        DataError: a target the task has no place for.
        Interrupted: `should_stop`, asked before each batch, said so.
    """
    encoded = torch.from_numpy(task.encode(events.targets)).to(device)
    predictions = torch.empty(len(events), len(task.columns), dtype=torch.float64)
    loss = 0.0
    for chosen, outputs in _outputs(model, events.source, events.axes, normalize, device, precision, should_stop):
        loss += task.loss(outputs, encoded[chosen]).double().sum().item()
        predictions[chosen] = task.predict(outputs).cpu()
    scores = task.score(predictions.numpy(), events.targets)
    return {"loss": loss / len(events) if len(events) else np.nan, **scores}, predictions.numpy()


@torch.inference_mode()
def predict(
    model: nn.Module,
    task: Task,
    source: EventSource,
    axes: str,
    normalize: Normalizer,
    device: torch.device,
    *,
    precision: Precision = "auto",
) -> NDArray[np.float64]:
    """Return the predictions (N, K) for events without targets, the same as `evaluate` returns."""
    predictions = torch.empty(len(source), len(task.columns), dtype=torch.float64)
    for chosen, outputs in _outputs(model, source, axes, normalize, device, precision, never):
        predictions[chosen] = task.predict(outputs).cpu()
    return predictions.numpy()


def _outputs(
    model: nn.Module,
    source: EventSource,
    axes: str,
    normalize: Normalizer,
    device: torch.device,
    precision: Precision,
    should_stop: Callable[[], bool],
) -> Iterator[tuple[slice, Tensor]]:
    """Give positions and logits, 64 events at a time.

    Matrix products round differently for batches of different sizes, so all are of 64 events, the last one filled up:
    an event's prediction does not depend on the others.
    """
    mode = model.training
    model.eval()
    try:
        with closing(batches(source, np.arange(len(source)), _BATCH)) as stream:
            for first in range(0, len(source), _BATCH):
                if should_stop():
                    raise Interrupted("asked to stop during an evaluation")
                inputs = normalize(to_tensor(next(stream), axes, device))
                with autocast(device, precision):
                    outputs = model(_filled_up(inputs))[: len(inputs)].float()
                yield slice(first, first + len(inputs)), outputs
    finally:
        model.train(mode)


def _filled_up(inputs: Tensor) -> Tensor:
    if len(inputs) == _BATCH:
        return inputs
    whole = inputs.new_zeros((_BATCH, *inputs.shape[1:])).contiguous(memory_format=torch.channels_last)
    whole[: len(inputs)] = inputs
    return whole
