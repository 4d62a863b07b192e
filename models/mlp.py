"""Multilayer perceptron on the flattened image."""

from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from torch import nn

from models._family import Family, Shape
from models._hyperparameters import Integer, Real, check, choice, integer, real
from models._layers import ACTIVATIONS, dense, initialise


@dataclass(frozen=True)
class MLPHyperparameters:
    """What shapes an MLP."""

    depth: int = integer(2, 1, 4, help="hidden layers", limits=Integer(0, 64))
    width: int = integer(128, 32, 256, log=True, help="units of each hidden layer", limits=Integer(1, 65536))
    batchnorm: bool = choice(True, (True, False), help="batch normalisation after each hidden layer")
    dropout: float = real(0.0, 0.0, 0.5, help="share of hidden values dropped in training", limits=Real(0.0, 0.95))
    activation: str = choice("relu", ACTIVATIONS, help="activation of the hidden layers")

    def __post_init__(self) -> None:
        check(self)


def build(hp: MLPHyperparameters, shape: Shape, outputs: int) -> nn.Module:
    """Build the network for (C, H, W) images; its first layer has C·H·W·width weights."""
    widths = [prod(shape), *[hp.width] * hp.depth]
    body = nn.Sequential(nn.Flatten())
    for inputs, units in pairwise(widths):
        body.extend(dense(inputs, units, batchnorm=hp.batchnorm, dropout=hp.dropout, then=hp.activation))
    initialise(body, hp.activation)
    return nn.Sequential(OrderedDict(body=body, classifier=nn.Linear(widths[-1], outputs)))


FAMILY = Family("mlp", MLPHyperparameters, build)
