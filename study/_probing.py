"""What a GPU's libraries and allocator add to a predicted memory: measured in small steps, once per kind of network."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from objectives._device import autocast
from objectives._fit_settings import Precision
from objectives._learning import Learning
from objectives._optimizers import make_optimizer

STEPS = 2
"""The first makes the optimizer's moments, which are there in the second."""
SMALLEST = 2
"""Events: batch normalisation cannot train on one."""
STEEPEST = 3.0
"""Bytes for a predicted one; more would be the noise of two small steps, not a law for a large one."""


@dataclass(frozen=True)
class Line:
    """Measured memory by predicted memory, in bytes."""

    start: float
    slope: float

    def __call__(self, predicted: float) -> int:
        """What would be measured."""
        return int(self.start + self.slope * predicted)


DEFAULT = Line(256 * 2**20, 1.3)
"""Until a kind of network was probed: libraries' workspaces, and what the allocator cannot use; not yet measured."""


def fitted(predicted: tuple[float, float], measured: tuple[float, float]) -> Line:
    """The line through two points; never falling, never below the prediction, never steeper than `STEEPEST`."""
    (near, far), (low, high) = predicted, measured
    slope = min(STEEPEST, max(1.0, (high - low) / (far - near))) if far > near else 1.0
    return Line(max(0.0, low - slope * near, high - slope * far), slope)


def probe_sizes(batch_size: int) -> tuple[int, int]:
    """Events of the two small batches: large enough to tell, small enough to fit where the whole batch may not."""
    small = max(SMALLEST, batch_size // 8)
    return small, 2 * small


def kind_of(network: nn.Module) -> str:
    """Networks of one kind run the same sequence of layers, whatever their widths."""
    return " ".join(type(module).__name__ for module in network.modules())


def cuda_peak(step: Callable[[], None], device: str) -> int:
    """Bytes that the process has at most on a GPU while `step` runs, beyond those that it has before."""
    gc.collect()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step()
    return torch.cuda.max_memory_allocated(device) - before


def small_steps(
    build: Callable[[], nn.Module],
    shape: Sequence[int],
    learning: Learning,
    device: str,
    precision: Precision,
    events: int,
) -> None:
    """Train a network that is thrown away."""
    network = build().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(network, learning)
    batch = torch.zeros(events, *shape, device=device).contiguous(memory_format=torch.channels_last)
    for _ in range(STEPS):
        with autocast(torch.device(device), precision):
            outputs = network(batch)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(outputs.float().mean())
        optimizer.step()
