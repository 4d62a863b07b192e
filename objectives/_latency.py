"""How long a network takes for one event."""

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from objectives._device import autocast
from objectives._fit_settings import Precision

WARM_UP, REPEATS = 3, 30
LONGEST_S = 0.3
"""No further pass is begun after so long."""


@torch.inference_mode()
def latency_ms(model: nn.Module, shape: Sequence[int], precision: Precision = "auto") -> float:
    """The median time of a forward pass of one event, in milliseconds, after warm-up; on a CPU by one thread.

    The event is all zeros and on the device already. The model is put into evaluation mode and left in its former one.

    Args:
        model: on the device that is meant, in channels_last.
        shape: of an event: C, H, W.
        precision: as `FitSettings.precision`.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    event = torch.zeros(1, *shape, device=device).to(memory_format=torch.channels_last)
    training, times, begun = model.training, list[float](), time.perf_counter()
    model.eval()
    with _one_thread(), autocast(device, precision):
        for _ in range(WARM_UP + REPEATS):
            start = time.perf_counter()
            model(event)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(1000 * (time.perf_counter() - start))
            if time.perf_counter() - begun > LONGEST_S:
                break
    model.train(training)
    return round(statistics.median(times[WARM_UP:] or times[-1:]), 4)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
