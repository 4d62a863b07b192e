"""Whether a trial fits into the memory of its device, asked before it trains."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from objectives._evaluation import batch_of
from objectives._fit_settings import Precision
from objectives._footprint import Footprint, predict_footprint
from objectives._learning import Learning
from objectives._memory import available_memory
from study._constraints import Infeasible
from study._probing import DEFAULT, STEEPEST, Line, cuda_peak, fitted, kind_of, probe_sizes, small_steps

logger = logging.getLogger(__name__)

GIB = 2**30
ON_CPU = Line(48 * 2**20, 1.3)
"""Measured by ``benchmarks/memory.py``: libraries' own memory, their temporaries, and what the allocator cannot use."""
_LINES: dict[str, Line] = {}
"""What this process has learnt of each kind of network on its GPU."""


@dataclass(frozen=True)
class Need:
    """What a trial needs of its device's memory, and what there is for it, in bytes."""

    needed: int
    room: int
    device: str

    @property
    def excess(self) -> float:
        """By what share it needs more than there is; 0 or less where it fits."""
        return self.needed / max(self.room, 1) - 1

    def check(self) -> None:
        """Refuse a trial that does not fit.

        Raises:
            Infeasible: As said; the message says how much of how much.
        """
        if self.excess > 0:
            raise Infeasible(
                f"memory: its training is predicted to take {self.needed / GIB:.2f} GiB, and {self.device} has "
                f"{self.room / GIB:.2f} GiB for it"
            )


def need_of(
    build: Callable[[], nn.Module], shape: Sequence[int], learning: Learning, device: str, precision: Precision
) -> Need | None:
    """What a trial needs and what there is for it; None where its network tells nothing without numbers.

    Args:
        build: Makes the network.
        shape: C, H, W of an event.
        device: Torch's name of it.
        precision: The study's.
    """
    half = precision == "bf16" or (precision == "auto" and device != "cpu")
    evaluated = 0 if device == "cpu" else batch_of(torch.device(device))
    predict = partial(predict_footprint, build, shape, learning, half=half, evaluated=evaluated)
    try:
        footprint = predict()
    except Exception as error:  # a user's network may raise anything
        logger.debug("its memory cannot be predicted: %s: %s", type(error).__name__, error)
        return None
    if device == "cpu":
        return Need(cpu_bytes(footprint), available_memory(), device)
    free, room = footprint.total, _gpu_room(device)
    if free > room or STEEPEST * DEFAULT(free) < room:  # beyond doubt: it does not fit, or it does
        return Need(free, room, device)
    step = partial(small_steps, build, shape, learning, device, precision)
    return Need(_line(build, predict, step, learning.batch_size, device)(free), room, device)


def cpu_bytes(footprint: Footprint) -> int:
    """What a training takes of a host's memory when it runs on the CPU."""
    return ON_CPU(footprint.total)


def _gpu_room(device: str) -> int:
    """Bytes of a GPU that nobody has, and those that this process has taken and does not use."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def _line(
    build: Callable[[], nn.Module],
    predict: Callable[..., Footprint],
    step: Callable[[int], None],
    batch_size: int,
    device: str,
) -> Line:
    """The law of this kind of network, from two small trainings the first time."""
    with torch.device("meta"):
        kind = kind_of(build())
    if kind not in _LINES:
        small, large = probe_sizes(batch_size)
        predicted = [predict(events=events, evaluated=0).total for events in (small, large)]
        try:
            measured = cuda_peak(partial(step, small), device), cuda_peak(partial(step, large), device)
        except Exception as error:  # its training will say so, and better
            logger.debug("its memory cannot be probed: %s: %s", type(error).__name__, error)
            return DEFAULT
        _LINES[kind] = fitted((predicted[0], predicted[1]), measured)
        logger.debug("networks of %d layers take %s of the predicted memory", len(kind.split()), _LINES[kind])
    return _LINES[kind]
