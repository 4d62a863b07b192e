"""The light of pieces of track on the tubes, without photons: cones with edges as sharp as the physics.

A piece of track spreads N photo-electrons over the directions as N/(2π) · g(cos α), with α the angle to the track
and g a Gaussian around cos θ of the Cherenkov angle. Its width holds scattering and colour, and the length of the
piece and the size of a tube as they appear over the distance d. A tube of area A, η from its axis, then gets

    N/(2π) · g(cos α) · A cos η / d² · exp(-d / attenuation length)

Where the cone is narrow on a module's scale this is worked out for each tube; where it is wide, for the module's
centre with its slope, which is linear in the tube's place and so can be summed over the pieces beforehand.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from study.simulation import _constants as c
from study.simulation import _geometry
from study.simulation._cones import NEAREST, Pairs, find_pairs
from study.simulation._emission import Emission

Array = NDArray[np.float32]
Index = NDArray[np.intp]

WIDE = 0.4  # a cone is wide when the outer tubes lie less than this many standard deviations across it
CHUNK = 1024  # pairs worked out tube by tube at a time, so that their arrays stay in the cache
DELAY = np.float32(c.GROUP_INDEX / c.SPEED_OF_LIGHT)  # ns/cm

_OFFSETS, _FACING = _geometry.PMT_OFFSETS, -_geometry.PMT_NORMALS  # light flies against the normals
_TO_SQUARE = np.vstack([2 * _OFFSETS.T, (_OFFSETS**2).sum(axis=1), np.ones(c.PMTS)]).astype(np.float32)
_TO_ALONG = np.vstack([_OFFSETS.T, np.ones(c.PMTS)]).astype(np.float32)
_TO_FACING = np.vstack([_FACING.T, (_OFFSETS * _FACING).sum(axis=1)]).astype(np.float32)
_TO_TUBES = np.vstack([_FACING.T, *(_OFFSETS[:, i] * _FACING.T for i in range(3))]).astype(np.float32)
_ALL_FACING = _FACING.sum(axis=0)
_OUTER = np.hypot(_OFFSETS[-1, 0], _OFFSETS[-1, 1])  # cm


@dataclass(frozen=True)
class Illumination:
    """Light on the m modules that get any.

    Attributes:
        modules: Flat index event · 640 + row · 40 + column, (m,).
        photo_electrons: Expected photo-electrons of each tube, (m, 19).
        times: Mean arrival time at each tube, (m, 19), ns.
        spreads: Standard deviation of the arrival times at the module, (m,), ns.
    """

    modules: Index
    photo_electrons: Array
    times: Array
    spreads: Array


def illuminate(emission: Emission) -> Illumination:
    """Works out the expected light of n events."""
    pairs = find_pairs(emission)
    place = pairs.tracks // emission.times.shape[1] * _geometry.MODULES + pairs.modules
    first = np.diff(place, prepend=-1) != 0
    row = np.cumsum(first) - 1
    across = np.sqrt(1 - pairs.cosines * pairs.cosines) * np.float32(_OUTER / WIDE)
    is_wide = across < pairs.widths * pairs.distances
    narrow, wide = np.flatnonzero(~is_wide), np.flatnonzero(is_wide)
    table = _summed(_on_tubes(emission, pairs.take(narrow)), row[narrow], int(first.sum()))
    slopes = _summed(_on_modules(emission, pairs.take(wide)), row[wide], int(first.sum()))
    light = table[:, :-6] + slopes[:, :-6] @ _TO_TUBES
    moments = table[:, -6:] + slopes[:, -6:]
    means = moments[:, 1:] / np.maximum(moments[:, :1], 1e-20)
    return Illumination(
        modules=place[first],
        photo_electrons=np.maximum(light, 0.0, out=light),
        times=means[:, :1] + DELAY * (means[:, 2:] @ _OFFSETS.T),
        spreads=np.sqrt(np.maximum(means[:, 1] - means[:, 0] ** 2, 0.0)),
    )


def _summed(table: Array, rows: Index, count: int) -> Array:
    """Sums the lines of ``table`` (p, k) that have the same of ``count`` rows, (count, k)."""
    sums = np.zeros((count, table.shape[1]), np.float32)
    places = (rows * table.shape[1])[:, None] + np.arange(table.shape[1])
    np.add.at(sums.reshape(-1), places.reshape(-1), table.reshape(-1))  # the fastest way for groups of a few lines
    return sums


def _in_frames(emission: Emission, pairs: Pairs) -> tuple[Array, Array]:
    """Way from each piece to the module's centre, cm, and direction of the piece, in the module's frame, (p, 3)."""
    start = emission.positions.reshape(-1, 3)[pairs.tracks]
    path = _geometry.to_module_frame(_geometry.MODULE_CENTRES[pairs.modules] - start, pairs.modules)
    return path, _geometry.to_module_frame(emission.directions.reshape(-1, 3)[pairs.tracks], pairs.modules)


def _moments(emission: Emission, pairs: Pairs, light: Array, flight: Array) -> Array:
    """Light (p,) of each pair times (1, t, t², flight), (p, 6).

    t is the arrival time at the module's centre in ns, ``flight`` the unit vector (p, 3) of the light in its frame.
    """
    arrival = emission.times.ravel()[pairs.tracks] + DELAY * pairs.distances
    weighted = light * arrival
    return np.column_stack([light, weighted, weighted * arrival, light[:, None] * flight])


def _on_modules(emission: Emission, pairs: Pairs) -> Array:
    """Wide cones: light at the centre and its slope as ``_TO_TUBES`` takes them, and moments, (p, 12 + 6)."""
    path, along = _in_frames(emission, pairs)
    flight = path / pairs.distances[:, None]
    cosines = np.einsum("ij,ij->i", flight, along)
    off = (cosines - pairs.cosines) / pairs.widths
    light = pairs.strengths * np.exp(off * off * np.float32(-0.5)) / (pairs.distances * pairs.distances)
    value = light[:, None] * flight
    slope = (along - cosines[:, None] * flight) * (-off / (pairs.distances * pairs.widths))[:, None]
    products = (slope[:, :, None] * value[:, None, :]).reshape(-1, 9)
    total = np.maximum(value @ _ALL_FACING, 0)
    return np.concatenate([value, products, _moments(emission, pairs, total, flight)], axis=1)


def _on_tubes(emission: Emission, pairs: Pairs) -> Array:
    """Narrow cones: light on each tube, and moments, (p, 19 + 6)."""
    path, along = _in_frames(emission, pairs)
    light = np.empty((len(pairs), c.PMTS), np.float32)
    for start in range(0, len(light), CHUNK):
        part = slice(start, start + CHUNK)
        scale = np.float32(np.sqrt(0.5)) / pairs.widths[part]
        light[part] = _trace(path[part], along[part], pairs.cosines[part], scale, pairs.strengths[part])
    total = light @ np.ones(c.PMTS, np.float32)
    return np.concatenate([light, _moments(emission, pairs, total, path / pairs.distances[:, None])], axis=1)


def _trace(path: Array, along: Array, cosines: Array, scale: Array, strengths: Array) -> Array:
    """The formula at the top for pairs and tubes, (p, 19); ``scale`` is 1 / (√2 · width).

    Products with the tubes' offsets do the geometry: squared distances, cos α and cos η times the distance.
    """
    square = np.sum(path * path, axis=1)
    straight = np.sum(path * along, axis=1)
    inverse = np.column_stack([path, np.ones_like(square), square]) @ _TO_SQUARE
    np.reciprocal(np.maximum(inverse, NEAREST**2, out=inverse), out=inverse)
    closer = np.sqrt(inverse)
    off = np.column_stack([along * scale[:, None], straight * scale]) @ _TO_ALONG
    off *= closer
    off -= (cosines * scale)[:, None]
    off *= off
    light = np.exp(np.negative(off, out=off), out=off)
    facing = np.column_stack([path * strengths[:, None], strengths]) @ _TO_FACING
    light *= np.maximum(facing, 0, out=facing)
    light *= inverse
    light *= closer
    return light
