"""Plain convolutional network: blocks that each halve the map, one global pooling, a dense head."""

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

from models._family import Family, Shape
from models._hyperparameters import Integer, Real, check, choice, integer, real
from models._layers import (
    ACTIVATIONS,
    GlobalPool,
    convolution,
    dense,
    drop,
    fitted_kernel,
    halved,
    halving_pool,
    initialise,
)


@dataclass(frozen=True)
class CNNHyperparameters:
    """What shapes a CNN."""

    depth: int = integer(3, 2, 5, help="convolution blocks", limits=Integer(1, 16))
    width: int = integer(32, 8, 64, log=True, help="channels of the first block", limits=Integer(1, 4096))
    growth: float = real(1.5, 1.0, 2.0, help="channels of a block per channel of the one before", limits=Real(0.1, 4.0))
    kernel: int = choice(3, (3, 5, 7), help="side of the convolutions' kernels, odd", limits=Integer(1, 31, step=2))
    stride: int = choice(1, (1, 2), help="stride of the first convolution", limits=Integer(1, 16))
    pooling: str = choice(
        "max", ("max", "average", "none"), help="what halves the map between blocks; none: a stride of 2"
    )
    window: int = choice(2, (2, 3), help="side of the pooling window, stride 2", when={"pooling": ("max", "average")})
    batchnorm: bool = choice(True, (True, False), help="batch normalisation after each convolution")
    activation: str = choice("relu", ACTIVATIONS, help="activation of all layers")
    readout: str = choice("mean", ("mean", "max"), help="what the last map's pixels are reduced by")
    head: int = integer(1, 0, 2, help="hidden layers of the dense head", limits=Integer(0, 16))
    head_width: int = integer(
        128,
        32,
        256,
        log=True,
        help="units of each hidden layer of the head",
        when={"head": tuple(range(1, 17))},
        limits=Integer(1, 65536),
    )
    dropout: float = real(
        0.0, 0.0, 0.5, help="share of values dropped before each layer of the head", limits=Real(0.0, 0.95)
    )

    def __post_init__(self) -> None:
        check(self)

    def channels(self) -> list[int]:
        """Return each block's channels; grown ones are rounded to a multiple of 8 from 8 up, which runs faster."""
        grown = [self.width * self.growth**index for index in range(1, self.depth)]
        return [self.width, *(max(1, round(value)) if value < 8 else round(value / 8) * 8 for value in grown)]


def build(hp: CNNHyperparameters, shape: Shape, outputs: int) -> nn.Module:
    """Build the network for (C, H, W) images; kernels and windows are cut to the map they see."""
    body, features = _body(hp, shape), hp.channels()[-1]
    initialise(body, hp.activation)
    head = nn.Sequential(*drop(hp.dropout))
    for _ in range(hp.head):
        head.extend(dense(features, hp.head_width, batchnorm=False, dropout=hp.dropout, then=hp.activation))
        features = hp.head_width
    initialise(head, hp.activation)
    return nn.Sequential(
        OrderedDict(body=body, pool=GlobalPool(hp.readout), head=head, classifier=nn.Linear(features, outputs))
    )


def _body(hp: CNNHyperparameters, shape: Shape) -> nn.Sequential:
    inputs, size = shape[0], shape[1:]
    body = nn.Sequential()
    for index, outputs in enumerate(hp.channels()):
        if index > 0 and hp.pooling != "none":
            body.append(halving_pool(hp.pooling, hp.window, size))
            size = halved(size, hp.window)
        stride = hp.stride if index == 0 else 2 if hp.pooling == "none" else 1
        kernel = fitted_kernel(hp.kernel, size)
        body.extend(convolution(inputs, outputs, kernel, stride=stride, batchnorm=hp.batchnorm, then=hp.activation))
        inputs, size = outputs, (-(-size[0] // stride), -(-size[1] // stride))
    return body


FAMILY = Family("cnn", CNNHyperparameters, build)
