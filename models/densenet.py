"""DenseNet-BC (Huang et al. 2017): every layer of a block sees the features of all layers before it."""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models._family import Family, Shape
from models._hyperparameters import Integer, Real, check, choice, integer, real
from models._layers import (
    ACTIVATIONS,
    STEMS,
    BatchNorm,
    GlobalPool,
    Map,
    activation,
    drop,
    halved,
    halving_pool,
    initialise,
    stem,
)

_LAYOUTS: dict[str, tuple[int, ...]] = {
    "121": (6, 12, 24, 16),
    "169": (6, 12, 32, 32),
    "201": (6, 12, 48, 32),
}
_FREE = {"layout": ("free",)}


@dataclass(frozen=True)
class DenseNetHyperparameters:
    """What shapes a DenseNet; a textbook layout fixes the number of blocks and of their layers."""

    layout: str = choice("free", (*_LAYOUTS, "free"), help="a textbook depth, or free", searched=False)
    blocks: int = integer(
        3, 2, 3, help="dense blocks; the map is halved between them", when=_FREE, limits=Integer(1, 8)
    )
    layers: int = integer(3, 2, 4, help="layers per dense block", when=_FREE, limits=Integer(1, 64))
    growth: int = integer(
        12, 6, 16, log=True, help="channels that each layer adds; the stem has twice as many", limits=Integer(1, 256)
    )
    compression: float = real(0.5, 0.3, 1.0, help="share of channels kept between blocks", limits=Real(0.01, 1.0))
    bottleneck: int = integer(
        4, 1, 4, help="channels of a layer's 1×1 convolution, in units of growth", limits=Integer(1, 64)
    )
    stem: str = choice("small", STEMS, help="small: 3×3; large: 7×7 of stride 2 and pooling")
    dropout: float = real(0.0, 0.0, 0.5, help="share of each layer's new values dropped", limits=Real(0.0, 0.95))
    activation: str = choice("relu", ACTIVATIONS, help="activation of all layers")

    def __post_init__(self) -> None:
        check(self)

    def plan(self) -> tuple[int, ...]:
        """Return the number of layers of each dense block."""
        return _LAYOUTS.get(self.layout, (self.layers,) * self.blocks)


class DenseBlock(nn.Module):
    """Layers, each of a 1×1 and a 3×3 convolution behind normalisation and activation, concatenated to the features."""

    def __init__(self, inputs: int, layers: int, hp: DenseNetHyperparameters) -> None:
        super().__init__()
        self.layers = nn.ModuleList(self._layer(inputs + index * hp.growth, hp) for index in range(layers))

    def forward(self, input: Tensor) -> Tensor:
        """Return (B, C + layers·growth, H, W)."""
        features = input
        for layer in self.layers:
            features = torch.cat((features, layer(features)), 1)
        return features

    @staticmethod
    def _layer(inputs: int, hp: DenseNetHyperparameters) -> nn.Module:
        middle = hp.bottleneck * hp.growth
        return nn.Sequential(
            *(BatchNorm(inputs), activation(hp.activation), nn.Conv2d(inputs, middle, 1, bias=False)),
            *(BatchNorm(middle), activation(hp.activation), nn.Conv2d(middle, hp.growth, 3, padding=1, bias=False)),
            *drop(hp.dropout),
        )


def build(hp: DenseNetHyperparameters, shape: Shape, outputs: int) -> nn.Module:
    """Build the network for (C, H, W) images; with growth 32 and the large stem, the textbook's."""
    features, size = 2 * hp.growth, shape[1:]
    body = nn.Sequential(*stem(hp.stem, shape[0], features, batchnorm=True, then=hp.activation))
    size = halved(halved(size)) if hp.stem == "large" else size
    for index, layers in enumerate(hp.plan()):
        if index > 0:
            kept = max(1, int(features * hp.compression))
            body.extend(_transition(features, kept, size, hp.activation))
            features, size = kept, halved(size, 2)
        body.append(DenseBlock(features, layers, hp))
        features += layers * hp.growth
    body.extend([BatchNorm(features), activation(hp.activation)])
    initialise(body, hp.activation)
    return nn.Sequential(OrderedDict(body=body, pool=GlobalPool(), classifier=nn.Linear(features, outputs)))


def _transition(inputs: int, outputs: int, size: Map, then: str) -> list[nn.Module]:
    return [
        BatchNorm(inputs),
        activation(then),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        halving_pool("average", 2, size),
    ]


FAMILY = Family("densenet", DenseNetHyperparameters, build)
