"""The training step in a graph, made without a trace in what is trained."""

import logging
import math
import pickle
import random
from collections.abc import Callable

import numpy as np
import torch

from objectives._device import seed_device
from objectives._graph import Graph, graph_for
from objectives._step import Step

_WARM_UP = 3  # calls: the first makes the optimizer's state, cuDNN may still choose its kernels in the next
# Differences of a batch's losses, relative and absolute. The kernels are the same, so usually there are none.
_RELATIVE, _ABSOLUTE = 1e-2, 1e-3

_logger = logging.getLogger(__name__)


class RepeatedStep:
    """A training step that a graph repeats, where the device has graphs and this step can be captured.

    A batch smaller than the others is trained by the step itself.

    Attributes:
        step: the step.
    """

    def __init__(self, step: Step, device: torch.device, *, wanted: bool) -> None:
        self.step, self._device = step, device
        self._possible = wanted
        self._graph: Graph | None = None

    def prepare(self, at: int, events: int) -> None:
        """Capture the step if need be, before step `at` of the epoch, which has so many events."""
        if not self._possible or self._graph is not None or events < self.step.batch_size:
            return
        graph = graph_for(self._device)
        self._possible = graph is not None and capture_step(graph, self.step, events, self._device, at)
        self._graph = graph if self._possible else None

    def __call__(self, events: int) -> None:
        """Train the next batch, of so many events."""
        if self._graph is not None and events == self.step.batch_size:
            self._graph.replay()
        else:
            self.step(events)

    def release(self) -> None:
        """Let go of the graph: tensors that it changes have been replaced."""
        self._graph = None


def capture_step(graph: Graph, step: Step, events: int, device: torch.device, at: int) -> bool:
    """Capture a step of so many events; say whether it can be repeated from now on by `graph.replay`.

    Weights, running statistics, the optimizer's state and the counter are afterwards what they were; a state that the
    optimizer had not made yet is zero, which trains the same. What was captured is tried: from the same weights, with
    the same random numbers, it must give the losses that the step itself gave.

    Args:
        graph: that captures it.
        step: the step; the one that comes next must have that many events.
        events: in each batch of those to be repeated.
        device: where.
        at: the number of the step that comes next.

    Raises:
        Exception: what the step itself raises, such as `torch.OutOfMemoryError`.
    """
    before = _Saved(step)
    try:
        host = _host_generators()
        expected = _losses(step, device, at, lambda: graph.warm_up(lambda: step(events)))
        if host != _host_generators() or _drew_on_cpu(device):
            return _eager("it draws random numbers on the host")
        if not before.same_tensors(step):
            return _eager("it replaces parameters or buffers instead of changing them")
        before.restore(step)
        return _tried(graph, step, events, device, at, expected)
    finally:
        before.restore(step)


def _tried(graph: Graph, step: Step, events: int, device: torch.device, at: int, expected: list[float]) -> bool:
    try:
        graph.capture(lambda: step(events))
        found = _losses(step, device, at, graph.replay)
    except RuntimeError as error:  # torch has no narrower class for what a capture cannot hold
        first_line, *_ = [*str(error).splitlines(), ""]
        return _eager(f"{type(error).__name__}: {first_line}")
    if not all(map(_agree, found, expected)):
        return _eager(f"repeated, its losses are {found}, not {expected}")
    return True


def _agree(found: float, expected: float) -> bool:
    return math.isclose(found, expected, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE) or not math.isfinite(expected)


def _eager(why: str) -> bool:
    _logger.warning("the training step cannot be captured in a CUDA graph and runs without, more slowly: %s", why)
    return False


# A graph would repeat what the host drew, and decided by it, when it was captured.
def _host_generators() -> tuple[object, bytes]:
    """The states of Python's and numpy's global generators."""
    return random.getstate(), pickle.dumps(np.random.get_state())


def _drew_on_cpu(device: torch.device) -> bool:
    """Whether a network on another device has used PyTorch's generator of the CPU since it was seeded last."""
    seeded = torch.Generator().manual_seed(_WARM_UP - 1).get_state()
    return device.type != "cpu" and not torch.equal(torch.get_rng_state(), seeded)


def _losses(step: Step, device: torch.device, at: int, do: Callable[[], None]) -> list[float]:
    """Train the batch of step `at` again and again, and return each loss."""
    found = []
    for number in range(_WARM_UP):
        step.go_to(at)
        seed_device(device, number)
        do()
        found.append(float(step.losses[at]))
    return found


class _Saved:
    """What a step changes, as it was."""

    def __init__(self, step: Step) -> None:
        self._tensors = step.tensors()
        self._values = {name: tensor.detach().clone() for name, tensor in self._tensors.items()}

    def same_tensors(self, step: Step) -> bool:
        """Whether the step has changed these tensors, not put others in their place."""
        now = step.tensors()
        return all(now.get(name) is tensor for name, tensor in self._tensors.items())

    @torch.no_grad()
    def restore(self, step: Step) -> None:
        """Let everything be as it was; what was not there is zero."""
        for name, tensor in step.tensors().items():
            if name in self._values:
                tensor.copy_(self._values[name])
            else:
                tensor.zero_()
        step.forget_gradients()
