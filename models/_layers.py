"""Layers that the families share: activations, normalisation, pooling and stems that fit any map, initialisation."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# The gain g solves E[f(g·z)²] = 1 for standard normal z, so that a layer keeps a unit second moment (He et al. 2015).
# gelu and silu are no multiples of themselves: there 1/√E[f(z)²], right for the ReLUs, makes the signal grow.
_ACTIVATIONS: dict[str, tuple[Callable[[], nn.Module], float]] = {
    "relu": (lambda: nn.ReLU(inplace=True), math.sqrt(2.0)),
    "gelu": (nn.GELU, 1.4680),
    "silu": (nn.SiLU, 1.5588),
    "leaky_relu": (lambda: nn.LeakyReLU(0.01, inplace=True), math.sqrt(2.0 / (1.0 + 0.01**2))),
}
ACTIVATIONS = tuple(_ACTIVATIONS)
Map = tuple[int, int]
"""Height and width of a feature map."""


def activation(name: str) -> nn.Module:
    """Return a new activation, one of `ACTIVATIONS`."""
    return _ACTIVATIONS[name][0]()


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation of (B, C, H, W) or (B, C).

    One value per channel (a batch of one event on a 1×1 map) has no variance: there torch raises, and this layer
    normalises by its running statistics, as in evaluation, and leaves them as they are.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised values, in the shape given."""
        if self.training and input.numel() == self.num_features:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (2, 4):
            raise ValueError(
                f"the input has {input.dim()} dimensions; batch normalisation takes (B, C, H, W) or (B, C)"
            )


class GlobalPool(nn.Module):
    """(B, C, H, W) to (B, C), by mean or maximum; unlike adaptive pooling deterministic on CUDA too."""

    def __init__(self, kind: str = "mean") -> None:
        super().__init__()
        self.kind = kind

    def forward(self, input: Tensor) -> Tensor:
        """Return one value per channel."""
        return input.mean((2, 3)) if self.kind == "mean" else input.amax((2, 3))

    def extra_repr(self) -> str:
        """Return what `repr` shows between the parentheses."""
        return self.kind


def convolution(
    inputs: int, outputs: int, kernel: int | Map, *, stride: int = 1, batchnorm: bool, then: str | None
) -> list[nn.Module]:
    """Return a convolution that keeps the map's size (or divides it by the stride), its normalisation and activation.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: odd side, or height and width.
        stride: of the convolution.
        batchnorm: whether batch normalisation follows; if not, the convolution has a bias.
        then: the activation's name; None leaves it out.
    """
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (height // 2, width // 2)
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, (height, width), stride, padding, bias=not batchnorm)]
    layers += [BatchNorm(outputs)] if batchnorm else []
    return layers + ([activation(then)] if then else [])


def dense(inputs: int, outputs: int, *, batchnorm: bool, dropout: float, then: str) -> list[nn.Module]:
    """Return a linear layer with its normalisation, activation and dropout."""
    layers: list[nn.Module] = [nn.Linear(inputs, outputs, bias=not batchnorm)]
    layers += [BatchNorm(outputs)] if batchnorm else []
    layers += [activation(then)]
    return layers + drop(dropout)


def drop(share: float) -> list[nn.Module]:
    """Return dropout of this share of the values, or nothing at 0."""
    return [nn.Dropout(share)] if share > 0 else []


def fitted_kernel(kernel: int, size: Map) -> Map:
    """Cut an odd kernel to the smallest odd one that is no smaller than the map: its rim would see padding only."""
    return min(kernel, size[0] | 1), min(kernel, size[1] | 1)


def halving_pool(kind: str, window: int, size: Map) -> nn.Module:
    """Return a pooling layer of stride 2 that leaves a side of length 1 as it is.

    Args:
        kind: "max" or "average".
        window: 2 or 3; windows of 3 overlap and reach over the rim, which does not count.
        size: of the map that will be pooled.
    """
    sides = (min(window, size[0]), min(window, size[1])) if window == 2 else (3, 3)
    padding = 0 if window == 2 else 1
    if kind == "max":
        return nn.MaxPool2d(sides, 2, padding)
    return nn.AvgPool2d(sides, 2, padding, count_include_pad=False)


def halved(size: Map, window: int = 3) -> Map:
    """Return the map's size after a `halving_pool`; a convolution of stride 2 leaves the same as a window of 3."""
    height, width = (side // 2 if window == 2 else (side + 1) // 2 for side in size)
    return max(1, height), max(1, width)


STEMS = ("small", "large")


def stem(kind: str, inputs: int, outputs: int, *, batchnorm: bool, then: str) -> list[nn.Module]:
    """Return a network's first layers.

    "small" is a 3×3 convolution that keeps the map, for small images; "large" a 7×7 one of stride 2 and an overlapping
    3×3 maximum of stride 2, for photographs (He et al. 2016). Both take a map of any size.
    """
    if kind == "small":
        return convolution(inputs, outputs, 3, batchnorm=batchnorm, then=then)
    return [*convolution(inputs, outputs, 7, stride=2, batchnorm=batchnorm, then=then), nn.MaxPool2d(3, 2, 1)]


def initialise(module: nn.Module, then: str) -> None:
    """Draw all convolutions' and linear layers' weights (He et al. 2015, fan-in, the activation's gain); biases are 0.

    The draws come from torch's global generator.
    """
    gain = _ACTIVATIONS[then][1]
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            with torch.no_grad():
                layer.weight.normal_(0.0, gain / math.sqrt(layer.weight[0].numel()))
                if layer.bias is not None:
                    layer.bias.zero_()
