"""What a trial costs, before any is run: a step of each family timed on one core, and its memory."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch

from objectives._data import batches, to_tensor
from objectives._events import Events
from objectives._footprint import Footprint, footprint, predict_footprint
from objectives._memory import available_memory
from objectives._optimizers import make_optimizer
from objectives._statistics import normalizer
from storage.errors import ConfigError
from study._admission import cpu_bytes
from study._random import RandomSuggester
from study._training import build_network
from study.plan import Facts, Plan, make_task

T = TypeVar("T")
BATCH = 32
TIMED_STEPS = 2
PROBED = 2
"""Events of a first step, which is not timed."""
SLOW_S = 4.0
"""A step that takes longer is timed once; a family that has taken four times as long is drawn no further."""
CONSTRUCTED = 32
"""Random configurations of each family that are made, without a network, to find values that do not go together."""


@dataclass(frozen=True)
class Cost:
    """What one trial costs.

    Attributes:
        parameters: Trainable numbers.
        events_per_second: Trained on one core.
        memory_mb: Its training takes of a host's memory, on the CPU.
    """

    parameters: int
    events_per_second: float
    memory_mb: float


def build_defaults(plan: Plan, facts: Facts) -> dict[str, str]:
    """Build each family once with its defaults; the reasons of those that cannot be built."""
    failures = {}
    for name in plan.space.families:
        try:
            _tried(facts, plan.space.defaults(name), lambda sampled: build_network(plan, facts, sampled))
            suggester = RandomSuggester(0, name)
            for _ in range(CONSTRUCTED):
                _tried(facts, plan.space.sample(suggester), lambda sampled: _construct(plan, sampled))
        except ConfigError as error:
            failures[name] = str(error)
    return failures


def _construct(plan: Plan, sampled: Mapping[str, Any]) -> None:
    plan.space.learning(sampled)
    plan.space.family(sampled)


def family_costs(plan: Plan, facts: Facts, training: Events, *, draws: int, seed: int = 0) -> dict[str, list[Cost]]:
    """Dry-run each family: its defaults and random draws from the space, a few steps of one batch each.

    Returns:
        By family; the first is of the defaults.

    Raises:
        ConfigError: A drawn network cannot be built or trained.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {name: list(_family(plan, facts, training, name, draws, seed)) for name in plan.space.families}
    finally:
        torch.set_num_threads(threads)


def _family(plan: Plan, facts: Facts, training: Events, name: str, draws: int, seed: int) -> Iterator[Cost]:
    suggester, began = RandomSuggester(seed, name), time.perf_counter()
    yield _tried(facts, plan.space.defaults(name), lambda sampled: _cost(plan, facts, training, sampled))
    for _ in range(draws):
        if time.perf_counter() - began < 4 * SLOW_S:
            yield _tried(facts, plan.space.sample(suggester), lambda sampled: _cost(plan, facts, training, sampled))


def _tried(facts: Facts, sampled: Mapping[str, Any], use: Callable[[Mapping[str, Any]], T]) -> T:
    try:
        return use(sampled)
    except Exception as error:  # a user's family may raise anything
        shape = "×".join(map(str, facts.shape))
        values = ", ".join(f"{name} {value}" for name, value in sampled.items()) or "the constants given"
        raise ConfigError(
            f"no network for events of {shape} (C×H×W) with {values}: {type(error).__name__}: {error}"
        ) from error


def _cost(plan: Plan, facts: Facts, training: Events, sampled: Mapping[str, Any]) -> Cost:
    learning, task = plan.space.learning(sampled), make_task(plan, facts)
    model = build_network(plan, facts, sampled)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's annotation lacks it
    optimizer = make_optimizer(model, learning)
    size = min(BATCH, len(training))
    stream = batches(training.source, np.arange(size), size)
    inputs = normalizer(learning.normalize, facts.statistics)(to_tensor(next(stream), training.axes)).clone()
    stream.close()
    targets = torch.from_numpy(task.encode(training.targets[:size]))

    def step(count: int) -> float:
        """Seconds of a step."""
        began = time.perf_counter()
        loss = task.loss(model(inputs[:count]), targets[:count]).mean()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's annotation
        optimizer.step()
        optimizer.zero_grad()
        return time.perf_counter() - began

    found = _footprint(plan, facts, sampled)
    size = max(min(PROBED, size), min(size, int(available_memory() / 2 / (found.step / learning.batch_size))))
    step(min(PROBED, size))
    seconds = step(size)
    if seconds < SLOW_S:
        seconds = min(step(size) for _ in range(TIMED_STEPS))
    return Cost(found.parameters, size / seconds, cpu_bytes(found) / 2**20)


def _footprint(plan: Plan, facts: Facts, sampled: Mapping[str, Any]) -> Footprint:
    """By shapes alone; where that cannot be, by a step of a few events."""
    learning, build = plan.space.learning(sampled), partial(build_network, plan, facts, sampled)
    try:
        return predict_footprint(build, facts.shape, learning)
    except Exception:  # a network whose course depends on numbers
        few = footprint(build(), facts.shape, learning, events=PROBED)
        return replace(few, step=few.step * learning.batch_size // PROBED)
