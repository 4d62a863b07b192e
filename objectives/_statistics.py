"""What a normalisation must know of the training events, and the normalisations."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from objectives._source import EventSource
from objectives._tensor import as_float32
from storage.errors import DataError

Normalization = Literal["none", "standard", "log1p", "per_channel"]
NORMALIZATIONS: tuple[Normalization, ...] = get_args(Normalization)

_BLOCK = 2**23  # bytes of float32 read at a time

_Array = npt.NDArray[Any]


@dataclass
class _Moments:
    """Count, mean and sum of squared deviations of each channel, gathered block by block in float64."""

    count: int = 0
    mean: _Array = field(default_factory=lambda: np.zeros(1))
    squares: _Array = field(default_factory=lambda: np.zeros(1))

    def add(self, values: _Array) -> None:
        """Add a block (n, channels), by the pairwise update of Chan, Golub and LeVeque (1979)."""
        wide = values.astype(np.float64)
        mean = wide.mean(axis=0)
        wide -= mean
        squares = np.einsum("ij,ij->j", wide, wide)
        total = self.count + len(values)
        shift = mean - self.mean
        self.squares = self.squares + squares + shift**2 * (self.count * len(values) / total)
        self.mean = self.mean + shift * (len(values) / total)
        self.count = total

    def deviations(self) -> _Array:
        """Each channel's standard deviation, 1 where it is 0."""
        deviations = np.sqrt(self.squares / self.count)
        return np.where(deviations > 0, deviations, 1.0)

    def overall(self) -> tuple[float, float]:
        """Mean and standard deviation over all channels, the latter 1 where it is 0."""
        variance = float(np.mean(self.squares / self.count) + np.var(self.mean))
        return float(self.mean.mean()), math.sqrt(variance) or 1.0


def statistics(source: EventSource, axes: str, *, limit: int = 8192) -> dict[str, Any]:
    """Measure training events, as float32 and with integers scaled as `to_tensor` scales them.

    The same events give the same numbers: sums are in float64 and in a fixed order.

    Args:
        source: the training events, at least one.
        axes: "NHWC", "NCHW" or "NHW".
        limit: how many evenly spaced events are read at most.

    Returns:
        JSON: "events" (how many were read), "mean", "std", "minimum", "maximum"; "channel_mean" and "channel_std",
        lists of one number per channel; "log_mean" and "log_std" of sign(x) log(1 + |x|). A standard
        deviation of 0 is given as 1.

    Raises:
        DataError: there is no event, or one that was read is not finite.
    """
    if not len(source):
        raise DataError("training: the part is empty, so nothing can be measured; use more events")
    positions = np.unique(np.linspace(0, len(source) - 1, min(len(source), limit)).round().astype(np.int64))
    plain, logarithms = _Moments(), _Moments()
    low, high = math.inf, -math.inf
    step = max(1, _BLOCK // (4 * math.prod(source.shape)))
    for start in range(0, len(positions), step):
        values = _read(source, positions[start : start + step], axes)
        plain.add(values)
        logarithms.add(np.copysign(np.log1p(np.abs(values)), values))
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    mean, deviation = plain.overall()
    log_mean, log_deviation = logarithms.overall()
    return {
        "events": len(positions),
        "mean": mean,
        "std": deviation,
        "minimum": low,
        "maximum": high,
        "channel_mean": plain.mean.tolist(),
        "channel_std": plain.deviations().tolist(),
        "log_mean": log_mean,
        "log_std": log_deviation,
    }


def _read(source: EventSource, positions: npt.NDArray[np.int64], axes: str) -> _Array:
    """The values at `positions` as float32 (events × pixels, channels)."""
    batch = np.empty((len(positions), *source.shape), source.dtype)
    source.rows(positions, batch)
    values = as_float32(batch)
    if not np.isfinite(values).all():
        raise DataError(
            "the training events hold NaN or infinite values; `studyhall inspect` on the file tells where: repair the "
            "file, or leave those events out"
        )
    if axes == "NCHW":
        values = values.transpose(0, 2, 3, 1)
    return values.reshape(-1, values.shape[-1] if axes != "NHW" else 1)


class _Affine:
    """(x - mean) / std in place, with constants kept on each device that asked."""

    def __init__(self, mean: float | list[float], std: float | list[float]) -> None:
        self._numbers = mean, std
        self._constants: dict[torch.device, list[torch.Tensor]] = {}

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        if images.device not in self._constants:
            self._constants[images.device] = [
                torch.tensor(numbers, dtype=torch.float32, device=images.device).reshape(1, -1, 1, 1)
                for numbers in self._numbers
            ]
        mean, std = self._constants[images.device]
        return images.sub_(mean).div_(std)


def normalizer(kind: str, stats: Mapping[str, Any]) -> Callable[[torch.Tensor], torch.Tensor]:
    """The function that prepares a batch of images for a network.

    Args:
        kind: "none"; "standard", (x - mean) / std over all values; "per_channel", the same with each channel's;
            "log1p", sign(x) log(1 + |x|), then standardised.
        stats: what `statistics` gave.

    Returns:
        A function of float32 (B, C, H, W) that may overwrite its argument: use what it returns.

    Raises:
        ValueError: `kind` is none of these.
    """
    if kind == "none":
        return lambda images: images
    if kind == "standard":
        return _Affine(stats["mean"], stats["std"])
    if kind == "per_channel":
        return _Affine(stats["channel_mean"], stats["channel_std"])
    if kind == "log1p":
        standardise = _Affine(stats["log_mean"], stats["log_std"])
        return lambda images: standardise(images.abs().log1p_().copysign_(images))
    raise ValueError(f"normalize: {kind!r} is not one of {', '.join(NORMALIZATIONS)}")
