"""How much memory the training of a network takes, found without computing anything."""

import math
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, UntypedStorage, nn
from torch.utils._python_dispatch import TorchDispatchMode

from objectives._learning import Learning

NUMBER = 4
"""Bytes of a float32. Weights, gradients and moments are kept in it, also where a network computes in bf16."""
BATCHES = 2
"""Batches in memory beside the one that the network sees: gathered ahead on a CPU, read from by a cast on a GPU."""


@dataclass(frozen=True)
class Footprint:
    """The memory of a training at its highest, in bytes.

    Attributes:
        parameters: trained numbers of the network.
        kept: weights, a copy of them, gradients and the optimizer's moments. The copy is the best epoch's on a CPU;
            on a GPU it is there while a step is captured.
        step: what a step of one batch adds: the batch, what is kept for the backward pass, and temporaries.
    """

    parameters: int
    kept: int
    step: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.kept + self.step


def predict_footprint(
    build: Callable[[], nn.Module],
    shape: Sequence[int],
    learning: Learning,
    *,
    events: int | None = None,
    half: bool = False,
    evaluated: int = 0,
) -> Footprint:
    """The memory of a training, from shapes alone: nothing is allocated or computed.

    Args:
        build: makes the network.
        shape: C, H, W of an event.
        learning: the optimizer and the batch size count.
        events: in a batch; None takes the batch size.
        half: whether the network computes in bf16.
        evaluated: events of a batch of validation, where they may be so many that its memory counts.

    Raises:
        Exception: whatever a network raises that needs numbers, of which torch's meta device has none.
    """
    with torch.device("meta"):
        network = build()
    return footprint(network, shape, learning, events=events, half=half, evaluated=evaluated)


def footprint(
    network: nn.Module,
    shape: Sequence[int],
    learning: Learning,
    *,
    events: int | None = None,
    half: bool = False,
    evaluated: int = 0,
) -> Footprint:
    """The memory of a training, by one step of the network on the device where it is, after which it is of no use.

    Args:
        network: in float32.
        shape, learning, events, half, evaluated: as those of `predict_footprint`.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    gradients = NUMBER * sum(parameter.numel() for parameter in trained)
    state = NUMBER * sum(tensor.numel() for tensor in [*network.parameters(), *network.buffers()])
    if half:
        network.to(torch.bfloat16)
    events = events or learning.batch_size
    validation = _evaluation_peak(network, shape, evaluated) if evaluated > events else 0
    forward, backward = _peaks(network, shape, events)
    # The last step's gradients stay until the backward pass begins, which makes them anew. In bf16 autocast has copies
    # of the weights all the while, and the new gradients were counted at half their size.
    step = max(forward + gradients // 2, backward) if half else max(forward, backward - gradients)
    batches = events * math.prod(shape) * NUMBER * (BATCHES + learning.augments)
    moments = gradients * _moments(learning)
    return Footprint(gradients // NUMBER, 2 * state + gradients + moments, max(step + batches, validation))


def _moments(learning: Learning) -> int:
    """Numbers that the optimizer keeps for each weight."""
    if learning.optimizer in ("adam", "adamw"):
        return 2
    return (learning.momentum > 0) + (learning.optimizer == "rmsprop")


def _peaks(network: nn.Module, shape: Sequence[int], events: int) -> tuple[int, int]:
    """Bytes beside the network at the highest point of a step's forward pass and of its backward pass."""
    first = next(network.parameters())
    with _Live([*network.parameters(), *network.buffers()]) as live:
        batch = torch.empty((events, *shape), device=first.device, dtype=first.dtype, memory_format=torch.channels_last)
        outputs = network(batch.zero_())
        forward, live.peak = live.peak, live.bytes
        torch.autograd.backward(outputs.float().sum())
    return forward, live.peak


def _evaluation_peak(network: nn.Module, shape: Sequence[int], events: int) -> int:
    """Bytes beside the network at the highest point of a forward pass that keeps nothing for a backward one."""
    first, mode = next(network.parameters()), network.training
    network.eval()
    with torch.no_grad(), _Live([*network.parameters(), *network.buffers()]) as live:
        batch = torch.empty((events, *shape), device=first.device, dtype=first.dtype, memory_format=torch.channels_last)
        network(batch)
    network.train(mode)
    highest: int = live.peak
    return highest + events * math.prod(shape) * NUMBER


class _Live(TorchDispatchMode):
    """Counts the memory of the tensors that are made while it is on, as long as they live.

    Attributes:
        bytes: of those alive now; a storage counts once, whatever views there are of it.
        peak: the highest since it was last set.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = self.peak = 0
        self._storages: dict[int, object] = {tensor.untyped_storage()._cdata: None for tensor in known}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for item in made if isinstance(made, tuple | list) else (made,):
            if isinstance(item, Tensor):
                self._count(item.untyped_storage())
        return made

    def _count(self, storage: UntypedStorage) -> None:
        key = storage._cdata  # of meta tensors the address of the numbers is 0
        if key not in self._storages:
            size = storage.nbytes()
            self._storages[key] = weakref.ref(storage, partial(self._gone, key, size))
            self.bytes += size
            self.peak = max(self.peak, self.bytes)

    def _gone(self, key: int, size: int, _: object) -> None:
        del self._storages[key]
        self.bytes -= size
