"""Pieces of track that emit light: what the particles hand to the light."""

from dataclasses import dataclass

import numpy as np

from study.simulation import _geometry
from study.simulation._arrays import Array, Floats, Index


@dataclass(frozen=True)
class Emission:
    """Straight pieces of track, k for each of n events.

    Attributes:
        positions: Middle of each piece, (n, k, 3), cm.
        directions: Unit vector along each piece, (n, k, 3).
        times: When the particle passes the middle, (n, k), ns after the interaction.
        photo_electrons: Light of each piece, (n, k), as the photo-electrons that tubes all around would give.
        cosines: cos θ of the Cherenkov cone, (n, k).
        spreads: Standard deviation of cos θ about it from scattering and colour, (n, k).
        lengths: Length of each piece, (n, k), cm.
    """

    positions: Array
    directions: Array
    times: Array
    photo_electrons: Array
    cosines: Array
    spreads: Array
    lengths: Array

    def __post_init__(self) -> None:
        shape = self.times.shape
        vectors = {self.positions.shape, self.directions.shape}
        scalars = {self.photo_electrons.shape, self.cosines.shape, self.spreads.shape, self.lengths.shape}
        if vectors != {(*shape, 3)} or scalars != {shape}:
            raise ValueError(f"pieces of track differ in shape: times {shape}, vectors {vectors}, scalars {scalars}")

    @classmethod
    def in_water(cls, **columns: Floats) -> "Emission":
        """Makes the pieces as float32, those outside the tank without light."""
        arrays = {name: np.ascontiguousarray(column, dtype=np.float32) for name, column in columns.items()}
        arrays["photo_electrons"] = arrays["photo_electrons"] * _geometry.is_inside(arrays["positions"])
        return cls(**arrays)


def join(parts: list[Emission], order: Index) -> Emission:
    """Stacks the events of ``parts`` and puts stacked event ``order[i]`` in place i."""

    def column(name: str) -> Array:
        stacked: Array = np.concatenate([getattr(part, name) for part in parts])
        return stacked[order]

    return Emission(**{name: column(name) for name in Emission.__dataclass_fields__})


def tilt(directions: Floats, first: Floats, second: Floats) -> Array:
    """Turns unit vectors (..., 3) by small angles (...) in radians about two axes of their own.

    The axes are those of Duff et al., Journal of Computer Graphics Techniques 6 (2017) 1: no direction is special.
    """
    x, y, z = np.moveaxis(directions, -1, 0)
    sign = np.copysign(1.0, z)
    a = -1 / (sign + z)
    b = x * y * a
    turned = np.stack(
        [
            x + first * (1 + sign * x * x * a) + second * b,
            y + first * sign * b + second * (sign + y * y * a),
            z - first * sign * x - second * y,
        ],
        axis=-1,
    )
    length: Floats = np.sqrt(1 + first * first + second * second)
    return (turned / length[..., None]).astype(np.float32)
