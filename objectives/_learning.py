"""The learning hyperparameters: how any network, of whatever family, is trained."""

import math
from dataclasses import dataclass

from models._hyperparameters import Choice, choice, hyperparameters, real

_FLAGS = (False, True)


@dataclass(frozen=True)
class Learning:
    """How a network is trained.

    The declared ranges are those searched by default. Values outside them are accepted as long as training with them
    means something: `weight_decay` 0 or `batch_size` 48, say.
    """

    optimizer: str = choice("adamw", ("sgd", "adam", "adamw", "rmsprop"), help="how gradients move the weights")
    lr: float = real(1e-3, 1e-4, 1e-1, log=True, help="learning rate at its highest")
    momentum: float = real(
        0.9, 0.8, 0.99, when={"optimizer": ("sgd", "rmsprop")}, help="fraction of the last step that is kept"
    )
    nesterov: bool = choice(
        True,
        _FLAGS,
        searched=False,
        when={"optimizer": ("sgd",)},
        help="Nesterov's form of momentum; nothing where that is 0",
    )
    weight_decay: float = real(
        1e-4, 1e-6, 1e-1, log=True, help="shrinks weights, decoupled in adamw; never norms and biases"
    )
    schedule: str = choice(
        "cosine", ("constant", "cosine", "one_cycle"), help="course of the learning rate over all steps"
    )
    warmup: float = real(
        0.05,
        0.0,
        0.2,
        searched=False,
        when={"schedule": ("constant", "cosine")},
        help="fraction of all steps in which the rate rises linearly; one_cycle has its own 30 %",
    )
    batch_size: int = choice(64, (32, 64, 128, 256), help="events per step")
    label_smoothing: float = real(
        0.0, 0.0, 0.2, searched=False, help="probability spread evenly over all classes; nothing in a regression"
    )
    normalize: str = choice(
        "standard", ("none", "standard", "log1p", "per_channel"), help="how pixel values are scaled"
    )
    flip_horizontal: bool = choice(False, _FLAGS, help="mirror half of the training events left to right")
    flip_vertical: bool = choice(False, _FLAGS, help="mirror half of the training events top to bottom")
    rotate: bool = choice(False, _FLAGS, help="shift each training event's columns around the cylinder by any amount")

    def __post_init__(self) -> None:
        for parameter in hyperparameters(type(self)):
            value = getattr(self, parameter.name)
            if parameter.name != "batch_size" and isinstance(parameter.range, Choice):
                _check(parameter.name, value, parameter.range.contains(value), f"one of {parameter.range.options}")
        _check("lr", self.lr, 0 < self.lr < math.inf, "a number above 0")
        _check("momentum", self.momentum, 0 <= self.momentum < 1, "from 0 up to but not including 1")
        _check("weight_decay", self.weight_decay, 0 <= self.weight_decay < math.inf, "a number from 0 up")
        _check("warmup", self.warmup, 0 <= self.warmup < 1, "from 0 up to but not including 1")
        whole = isinstance(self.batch_size, int) and not isinstance(self.batch_size, bool)
        _check("batch_size", self.batch_size, whole and self.batch_size >= 2, "an integer from 2 up")
        _check("label_smoothing", self.label_smoothing, 0 <= self.label_smoothing < 1, "from 0 up to below 1")

    @property
    def augments(self) -> bool:
        """Whether training events are changed at all."""
        return self.flip_horizontal or self.flip_vertical or self.rotate


def _check(name: str, value: object, accepted: bool, words: str) -> None:
    if not accepted:
        raise ValueError(f"{name} is {value!r}; it must be {words}")
