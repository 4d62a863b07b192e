"""Optimizers and learning-rate schedules, from the learning hyperparameters."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from objectives._learning import Learning

_RISE = 0.3  # of all steps, in one_cycle
_START = 1 / 25  # of the highest rate, in one_cycle
_END = _START / 1e4  # likewise


def make_optimizer(model: nn.Module, learning: Learning) -> Optimizer:
    """Return the optimizer of the model's parameters.

    Parameters of one dimension or none (norms, biases) get no weight decay. The fused form is used where PyTorch has
    one: it is faster, on CPUs too, and gives its own bits, the same ones at every run.

    The learning rate is a float32 tensor on the parameters' device, the same one in all groups: who changes it in place
    changes it for the next step, in a CUDA graph too.
    """
    groups, device = _groups(model, learning.weight_decay), next(model.parameters()).device
    lr = torch.tensor(learning.lr, device=device)
    on_gpu = device.type == "cuda"  # the others are capturable as they are
    match learning.optimizer:
        case "sgd":
            nesterov = learning.nesterov and learning.momentum > 0  # torch refuses it without momentum
            return SGD(groups, lr=lr, momentum=learning.momentum, nesterov=nesterov, fused=True)
        case "adam":
            return _quiet(Adam(groups, lr=lr, fused=True, capturable=on_gpu))
        case "adamw":
            return _quiet(AdamW(groups, lr=lr, fused=True, capturable=on_gpu))
        case _:
            return _quiet(RMSprop(groups, lr=lr, momentum=learning.momentum, capturable=on_gpu))


def _quiet(optimizer: Optimizer) -> Optimizer:
    """Say that it has warned of steps outside of a graph: an epoch's last batch is one."""
    optimizer._warned_capturable_if_run_uncaptured = True
    return optimizer


def load_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Take the moments of a saved state, on the device of the parameters; hyperparameters stay what they are.

    The tensor that is the learning rate stays too; all others are replaced.
    """
    own = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    groups = [{**saved, **kept} for saved, kept in zip(state["param_groups"], own, strict=True)]
    optimizer.load_state_dict({**state, "param_groups": groups})
    for group, kept in zip(optimizer.param_groups, own, strict=True):
        group.update(kept)


def learning_rates(learning: Learning, total_steps: int, steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the learning rate of each of these steps, counted from 0 over all epochs.

    It is a function of the step and of `total_steps`, so training for another number of epochs changes it throughout.
    """
    if learning.schedule == "one_cycle":
        return learning.lr * _one_cycle(steps, total_steps)
    rise = round(learning.warmup * total_steps)
    fall = total_steps - rise if learning.schedule == "cosine" else math.inf
    factors = _between(1.0, 0.0, (steps - rise) / max(1, fall))
    return learning.lr * np.where(steps < rise, (steps + 1) / max(1, rise), factors)


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, object]] = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _one_cycle(steps: NDArray[np.int64], total: int) -> NDArray[np.float64]:
    """Rise from 1/25 by a half cosine over 30 % of the steps, then fall to 1/250,000.

    It is PyTorch's `OneCycleLR` with its defaults and `cycle_momentum=False`.
    """
    top = max(0.0, _RISE * total - 1)
    rising = _between(_START, 1.0, steps / max(top, 1e-9))
    return np.where(steps < top, rising, _between(1.0, _END, (steps - top) / max(1.0, total - 1 - top)))


def _between(start: float, end: float, fraction: NDArray[Any]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = (1 + np.cos(math.pi * np.clip(fraction, 0.0, 1.0))) / 2
    return end + (start - end) * shares
