"""What a trial costs, before any is run: a step of each family timed on one core, and its memory."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from objectives._data import batches, to_tensor
from objectives._events import Events
from objectives._optimizers import make_optimizer
from objectives._statistics import normalizer
from study._training import build_network
from study.plan import Facts, Plan, make_task

BATCH = 32
TIMED_STEPS = 2


class RandomSuggester:
    """Draws every parameter at random, for dry runs."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """An integer from low to high."""
        if log:
            return min(high, int(np.exp(self._random.uniform(np.log(low), np.log(high + 1)))))
        return low + step * int(self._random.integers((high - low) // step + 1))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number from low to high."""
        if log:
            return float(np.exp(self._random.uniform(np.log(low), np.log(high))))
        if step is None:
            return float(self._random.uniform(low, high))
        return low + step * int(self._random.integers(int((high - low) / step + 1e-9) + 1))

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """One of the choices."""
        return choices[int(self._random.integers(len(choices)))]


@dataclass(frozen=True)
class Cost:
    """What one trial costs.

    Attributes:
        parameters: Trainable numbers.
        events_per_second: Trained on one core.
        memory_mb: Weights, gradients, optimizer state and the activations of its batch.
    """

    parameters: int
    events_per_second: float
    memory_mb: float


def build_defaults(plan: Plan, facts: Facts) -> dict[str, str]:
    """Build each family once with its defaults; the reasons of those that cannot be built."""
    failures = {}
    for name in plan.space.families:
        try:
            build_network(plan, facts, plan.space.defaults(name))
        except Exception as error:  # a user's family may raise anything
            failures[name] = f"{type(error).__name__}: {error}"
    return failures


def family_costs(plan: Plan, facts: Facts, training: Events, *, draws: int, seed: int = 0) -> dict[str, list[Cost]]:
    """Dry-run each family: its defaults and random draws from the space, a few steps of one batch each.

    Returns:
        By family; the first is of the defaults.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        suggester = RandomSuggester(seed)
        return {
            name: [_cost(plan, facts, training, sampled) for sampled in _samples(plan, name, suggester, draws)]
            for name in plan.space.families
        }
    finally:
        torch.set_num_threads(threads)


def _samples(plan: Plan, name: str, suggester: RandomSuggester, draws: int) -> Iterator[dict[str, Any]]:
    yield plan.space.defaults(name)
    drawn = 0
    while drawn < draws:
        sampled = plan.space.sample(suggester)
        if plan.space.resolved(sampled)["model"] == name:
            drawn += 1
            yield sampled


def _cost(plan: Plan, facts: Facts, training: Events, sampled: Mapping[str, Any]) -> Cost:
    learning, task = plan.space.learning(sampled), make_task(plan, facts)
    model = build_network(plan, facts, sampled)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's annotation lacks it
    optimizer = make_optimizer(model, learning)
    size = min(BATCH, len(training))
    stream = batches(training.source, np.arange(size), size)
    inputs = normalizer(learning.normalize, facts.statistics)(to_tensor(next(stream), training.axes)).clone()
    stream.close()
    targets = torch.from_numpy(task.encode(training.targets)[:size])
    seconds, activations = [], 0
    for _ in range(1 + TIMED_STEPS):
        began = time.perf_counter()
        with _saved_bytes() as saved:
            loss = task.loss(model(inputs), targets).mean()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's annotation
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - began)
        activations = sum(saved.values())
    parameters = sum(parameter.numel() for parameter in model.parameters())
    # Weights, gradients and at most two moments, of four bytes each.
    memory = 16 * parameters + activations * learning.batch_size / size
    return Cost(parameters, size / min(seconds[1:]), memory / 2**20)


@contextmanager
def _saved_bytes() -> Iterator[dict[int, int]]:
    """Bytes of the tensors kept for the backward pass, each storage once."""
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield sizes
