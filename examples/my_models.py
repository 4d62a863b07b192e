"""A network family of one's own: `model: my_models.py:LENET` in the study file beside it."""

from dataclasses import dataclass

from torch import nn

from models._family import Family, Shape
from models._hyperparameters import check, choice, integer


@dataclass(frozen=True)
class LeNetHyperparameters:
    """What shapes the network; a study searches these ranges as `lenet.width` and `lenet.kernel`."""

    width: int = integer(16, 4, 32, log=True, help="channels of the first convolution")
    kernel: int = choice(5, (3, 5), help="side of the kernels")

    def __post_init__(self) -> None:
        check(self)


def build(hp: LeNetHyperparameters, shape: Shape, outputs: int) -> nn.Module:
    """Build two convolutions and a linear layer for (C, H, W) images."""
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, hp.width, hp.kernel, padding=hp.kernel // 2),
        nn.ReLU(),
        nn.MaxPool2d((min(2, height), min(2, width))),
        nn.Conv2d(hp.width, 2 * hp.width, hp.kernel, padding=hp.kernel // 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * hp.width * max(1, height // 2) * max(1, width // 2), outputs),
    )


LENET = Family("lenet", LeNetHyperparameters, build)
