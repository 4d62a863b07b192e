"""The least time that a GPU could need for an event: its arithmetic and its bytes, over rates measured here."""

import time
from collections.abc import Callable

import torch
from gpu_tutorial import SHAPE, SimpleCNN
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

REPEATS = 20


def flops_per_event(batch: int = 2) -> float:
    """Operations of the forward and backward pass, an addition and a multiplication counting as two."""
    with FlopCounterMode(display=False) as counter:
        torch.autograd.backward(SimpleCNN()(torch.zeros(batch, *SHAPE)).sum())
    return float(counter.get_total_flops()) / batch


def bytes_per_event(batch: int = 2) -> float:
    """Fewest bytes through the device's memory: the event read in float32, and what is kept for the backward pass.

    What is kept is written once and read once, in bf16. Weights are read once a batch: nothing beside that.
    """
    model = SimpleCNN()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.is_floating_point() and tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(torch.zeros(batch, *SHAPE))
    channels, height, width = SHAPE
    return 4 * channels * height * width + 2 * 2 * sum(kept.values()) / batch


def ceilings(device: torch.device) -> tuple[float, float]:
    """Operations per second of a large bf16 matrix product, and bytes per second of a large copy, read and written."""
    side, length = (8192, 2**30) if device.type == "cuda" else (512, 2**24)
    one = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    source = torch.randint(256, (length,), device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    product = 2 * side**3 / _seconds(lambda: torch.matmul(one, one), device)
    return product, 2 * length / _seconds(lambda: target.copy_(source), device)


def floor_rate(device: torch.device) -> tuple[float, float, float]:
    """Events per second that arithmetic alone, and that memory alone would allow, and the lower of the two."""
    operations, bandwidth = ceilings(device)
    by_arithmetic, by_memory = operations / flops_per_event(), bandwidth / bytes_per_event()
    return by_arithmetic, by_memory, min(by_arithmetic, by_memory)


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    """Of one call, the fastest third of many."""
    times = []
    for _ in range(REPEATS if device.type == "cuda" else 3):
        began = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return sorted(times)[len(times) // 3]
