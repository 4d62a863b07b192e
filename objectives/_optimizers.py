"""Optimizers and learning-rate schedules, from the learning hyperparameters."""

import math
from functools import partial

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import LambdaLR

from objectives._learning import Learning

_RISE = 0.3  # of all steps, in one_cycle
_START = 1 / 25  # of the highest rate, in one_cycle
_END = _START / 1e4  # likewise


def make_optimizer(model: nn.Module, learning: Learning) -> Optimizer:
    """Return the optimizer of the model's parameters.

    Parameters of one dimension or none (norms, biases) get no weight decay. The fused form is used where PyTorch has
    one: it is faster, on CPUs too, and gives its own bits, the same ones at every run.
    """
    groups, lr = _groups(model, learning.weight_decay), learning.lr
    match learning.optimizer:
        case "sgd":
            nesterov = learning.nesterov and learning.momentum > 0  # torch refuses it without momentum
            return SGD(groups, lr=lr, momentum=learning.momentum, nesterov=nesterov, fused=True)
        case "adam":
            return Adam(groups, lr=lr, fused=True)
        case "adamw":
            return AdamW(groups, lr=lr, fused=True)
        case _:
            return RMSprop(groups, lr=lr, momentum=learning.momentum)


def make_schedule(optimizer: Optimizer, learning: Learning, total_steps: int) -> LambdaLR:
    """Return the schedule, to be stepped after every step of the optimizer.

    It is a function of the step and of `total_steps`, so training for another number of epochs changes it throughout.
    """
    if learning.schedule == "one_cycle":
        return LambdaLR(optimizer, partial(_one_cycle, total=total_steps))
    rise = round(learning.warmup * total_steps)
    shape = _cosine if learning.schedule == "cosine" else _constant
    return LambdaLR(
        optimizer, lambda step: (step + 1) / rise if step < rise else shape(step - rise, total_steps - rise)
    )


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, object]] = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _constant(step: int, total: int) -> float:
    return 1.0


def _cosine(step: int, total: int) -> float:
    return _between(1.0, 0.0, step / max(1, total))


def _one_cycle(step: int, *, total: int) -> float:
    """Rise from 1/25 by a half cosine over 30 % of the steps, then fall to 1/250,000.

    It is PyTorch's `OneCycleLR` with its defaults and `cycle_momentum=False`.
    """
    top = max(0.0, _RISE * total - 1)
    if step < top:
        return _between(_START, 1.0, step / top)
    return _between(1.0, _END, (step - top) / max(1.0, total - 1 - top))


def _between(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, fraction))) / 2
