"""Residual network (He et al. 2016): the textbook layouts, and free ones for small images."""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models._family import Family, Shape
from models._hyperparameters import Integer, Real, check, choice, integer, real
from models._layers import ACTIVATIONS, STEMS, GlobalPool, activation, convolution, drop, initialise, stem

_LAYOUTS: dict[str, tuple[str, tuple[int, ...]]] = {
    "18": ("basic", (2, 2, 2, 2)),
    "34": ("basic", (3, 4, 6, 3)),
    "50": ("bottleneck", (3, 4, 6, 3)),
    "101": ("bottleneck", (3, 4, 23, 3)),
    "152": ("bottleneck", (3, 8, 36, 3)),
}
_FREE = {"layout": ("free",)}
_EXPANSION = {"basic": 1, "bottleneck": 4}


@dataclass(frozen=True)
class ResNetHyperparameters:
    """What shapes a ResNet; a textbook layout fixes the kind of block, and the number of stages and blocks."""

    layout: str = choice("free", (*_LAYOUTS, "free"), help="a textbook depth, or free", searched=False)
    block: str = choice("basic", ("basic", "bottleneck"), help="kind of residual block", when=_FREE)
    stages: int = integer(3, 2, 4, help="stages; each after the first halves the map", when=_FREE, limits=Integer(1, 8))
    blocks: int = integer(2, 1, 2, help="residual blocks per stage", when=_FREE, limits=Integer(1, 64))
    width: int = integer(
        16, 8, 24, log=True, help="channels of the first stage, doubled by each other", limits=Integer(1, 1024)
    )
    stem: str = choice("small", STEMS, help="small: 3×3; large: 7×7 of stride 2 and pooling")
    batchnorm: bool = choice(True, (True, False), help="batch normalisation after each convolution", searched=False)
    dropout: float = real(0.0, 0.0, 0.5, help="share of values dropped before the classifier", limits=Real(0.0, 0.95))
    activation: str = choice("relu", ACTIVATIONS, help="activation of all layers")

    def __post_init__(self) -> None:
        check(self)

    def plan(self) -> tuple[str, tuple[int, ...]]:
        """Return the kind of block and the number of blocks of each stage."""
        return _LAYOUTS.get(self.layout, (self.block, (self.blocks,) * self.stages))


class Residual(nn.Module):
    """One residual block: activation(branch(x) + shortcut(x)). A bottleneck's stride is in its 3×3 convolution."""

    def __init__(self, inputs: int, width: int, stride: int, kind: str, batchnorm: bool, then: str) -> None:
        super().__init__()
        outputs = width * _EXPANSION[kind]
        # Each row: channels in and out, side of the kernel, stride, activation.
        rows: list[tuple[int, int, int, int, str | None]] = [
            (inputs, width, 3, stride, then),
            (width, outputs, 3, 1, None),
        ]
        if kind == "bottleneck":
            rows = [(inputs, width, 1, 1, then), (width, width, 3, stride, then), (width, outputs, 1, 1, None)]
        self.branch = nn.Sequential()
        for before, after, kernel, step, name in rows:
            self.branch.extend(convolution(before, after, kernel, stride=step, batchnorm=batchnorm, then=name))
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Sequential(
            *([] if same else convolution(inputs, outputs, 1, stride=stride, batchnorm=batchnorm, then=None))
        )
        self.activation = activation(then)

    def forward(self, input: Tensor) -> Tensor:
        """Return (B, outputs, ⌈H / stride⌉, ⌈W / stride⌉)."""
        output: Tensor = self.activation(self.branch(input) + self.shortcut(input))
        return output


def build(hp: ResNetHyperparameters, shape: Shape, outputs: int) -> nn.Module:
    """Build the network for (C, H, W) images; with width 64 and the large stem, the textbook's."""
    kind, counts = hp.plan()
    features = hp.width
    body = nn.Sequential(*stem(hp.stem, shape[0], features, batchnorm=hp.batchnorm, then=hp.activation))
    for stage, count in enumerate(counts):
        width = hp.width * 2**stage
        for index in range(count):
            stride = 2 if stage > 0 and index == 0 else 1
            body.append(Residual(features, width, stride, kind, hp.batchnorm, hp.activation))
            features = width * _EXPANSION[kind]
    initialise(body, hp.activation)
    if not hp.batchnorm:
        _damp(body, sum(counts))
    classifier = nn.Sequential(*drop(hp.dropout), nn.Linear(features, outputs))
    return nn.Sequential(OrderedDict(body=body, pool=GlobalPool(), classifier=classifier))


def _damp(body: nn.Module, blocks: int) -> None:
    # Unnormalised branches would double the variance block by block; so they multiply it by at most e in all
    # (Zhang et al. 2019).
    for block in body.modules():
        if isinstance(block, Residual):
            last = [layer for layer in block.branch if isinstance(layer, nn.Conv2d)][-1]
            with torch.no_grad():
                last.weight.mul_(blocks**-0.5)


FAMILY = Family("resnet", ResNetHyperparameters, build)
