"""What evaluation costs, for `train_step.py`: its share of an epoch, and its own variants."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from step_variants import BATCH, Variant, make_trainer, random_events, train_epoch

from objectives import _evaluation
from objectives._fit import Trainer, never

BATCHES = (BATCH, 32, 256)
"""Events that are evaluated at a time; the first is the default."""


def timed(action: Callable[[], object], device: torch.device) -> float:
    """Seconds, all that the GPU has to do included."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def epoch_shares(network: str, device: str, repeats: int, batches: int) -> list[float]:
    """The share of an epoch's time that goes into evaluation, with a tenth of the events for validation.

    Args:
        batches: Of validation; nine times as many are trained.
    """
    validation = random_events(batches * BATCH, seed=1)
    trainer = make_trainer(network, Variant("default"), random_events(9 * batches * BATCH), validation, device)
    train_epoch(trainer)
    shares = []
    for _ in range(repeats):
        evaluation = timed(lambda: trainer._validate(never), trainer.device)
        shares.append(evaluation / (evaluation + timed(lambda: train_epoch(trainer), trainer.device)))
    return shares


@contextlib.contextmanager
def _batch(size: int) -> Iterator[None]:
    before, _evaluation.batch_of = _evaluation.batch_of, lambda device: size
    yield
    _evaluation.batch_of = before


def _evaluate(trainer: Trainer, evaluate: Any) -> None:
    evaluate(trainer.model, trainer.task, trainer.validation, trainer.normalize, trainer.device)


def _without_gradients(trainer: Trainer) -> None:
    with torch.no_grad():
        _evaluate(trainer, _evaluation.evaluate.__wrapped__)  # what stands below the decorator


def evaluation_times(network: str, device: str, repeats: int) -> dict[str, list[float]]:
    """Seconds to evaluate 256 events, by variant; the variants take turns."""
    events = random_events(max(BATCHES), seed=1)
    trainer = make_trainer(network, Variant("default"), events, events, device)
    train_epoch(trainer)

    def with_batch(size: int) -> None:
        with _batch(size):
            _evaluate(trainer, _evaluation.evaluate)

    actions: dict[str, Callable[[], object]] = {"default": lambda: with_batch(BATCH)}
    actions |= {f"batches of {size}": lambda size=size: with_batch(size) for size in BATCHES[1:]}
    actions["no_grad"] = lambda: _without_gradients(trainer)
    found: dict[str, list[float]] = {name: [] for name in actions}
    for repeat in range(repeats + 1):
        for name in sorted(actions, key=lambda name: hash((name, repeat))):
            seconds = timed(actions[name], trainer.device)
            if repeat:
                found[name].append(seconds)
    return found
