"""A network's predictions and their metrics."""

from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from objectives._data import EventSource
from objectives._device import autocast
from objectives._errors import Interrupted
from objectives._events import Events
from objectives._feed import Feed, open_feed
from objectives._fit_settings import Precision
from objectives._pace import Pace
from objectives._task import Task

Normalizer = Callable[[Tensor], Tensor]

_BATCHES = {"cpu": 64, "cuda": 512}  # events


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

    The model is put into evaluation mode and left in its former one. Losses are summed in float64. Nothing is brought
    to the host before the end.

    Raises:
        DataError: a target the task has no place for.
        Interrupted: `should_stop`, asked before each batch, said so.
    """
    encoded = torch.from_numpy(task.encode(events.targets)).to(device)
    feed = open_feed(events.source, events.axes, events.resident, device, batch_of(device))
    predictions = torch.empty(len(events), len(task.columns), dtype=torch.float64, device=device)
    losses: list[Tensor] = []
    for chosen, outputs in _outputs(model, feed, len(events), normalize, device, precision, should_stop):
        losses.append(task.loss(outputs, encoded[chosen]).double().sum())
        predictions[chosen] = task.predict(outputs)
    found = predictions.cpu().numpy()
    scores = task.score(found, events.targets)
    # One after the other, so that the sum does not depend on how a device would add them.
    loss = sum(torch.stack(losses).tolist()) / len(events) if losses else np.nan
    return {"loss": loss, **scores}, found


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
    feed = open_feed(source, axes, None, device, batch_of(device))
    predictions = torch.empty(len(source), len(task.columns), dtype=torch.float64, device=device)
    for chosen, outputs in _outputs(model, feed, len(source), normalize, device, precision, never):
        predictions[chosen] = task.predict(outputs)
    return predictions.cpu().numpy()


def batch_of(device: torch.device) -> int:
    """Return how many events are evaluated at a time."""
    return _BATCHES[device.type]


def _outputs(
    model: nn.Module,
    feed: Feed,
    events: int,
    normalize: Normalizer,
    device: torch.device,
    precision: Precision,
    should_stop: Callable[[], bool],
) -> Iterator[tuple[slice, Tensor]]:
    """Give positions and logits, a batch at a time.

    Matrix products round differently for batches of different sizes, so all are of the same size, the last one filled
    up: an event's prediction does not depend on the others.
    """
    mode, batch, pace = model.training, batch_of(device), Pace(device)
    positions = torch.arange(events, device=device)
    model.eval()
    try:
        with closing(feed.batches(np.arange(events), batch)) as stream:
            for first in range(0, events, batch):
                if should_stop():
                    raise Interrupted("asked to stop during an evaluation")
                next(stream)
                inputs = normalize(feed.current(positions[first : first + batch]))
                with autocast(device, precision):
                    outputs = model(_filled_up(inputs, batch))[: len(inputs)].float()
                yield slice(first, first + len(inputs)), outputs
                pace.tick()
    finally:
        model.train(mode)


def _filled_up(inputs: Tensor, batch: int) -> Tensor:
    if len(inputs) == batch:
        return inputs
    whole = inputs.new_zeros((batch, *inputs.shape[1:])).contiguous(memory_format=torch.channels_last)
    whole[: len(inputs)] = inputs
    return whole
