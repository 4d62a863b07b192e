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

from study.simulation import _constants as c
from study.simulation import _geometry
from study.simulation._arrays import Array, Floats, Index
from study.simulation._cones import NEAREST, Pairs, find_pairs
from study.simulation._emission import Emission

WIDE = 0.4  # a cone is wide when the outer tubes lie less than this many standard deviations across it
CHUNK = 1024  # pairs worked out tube by tube at a time, so that their arrays stay in the cache
DELAY = np.float32(c.GROUP_INDEX / c.SPEED_OF_LIGHT)  # ns/cm

_OFFSETS, _FACING = _geometry.PMT_OFFSETS, -_geometry.PMT_NORMALS  # (19, 3); light flies against the normals
_TO_SQUARE = np.column_stack([2 * _OFFSETS, (_OFFSETS**2).sum(axis=1), np.ones(c.PMTS)]).astype(np.float32)
_TO_ALONG = np.column_stack([_OFFSETS, np.ones(c.PMTS)]).astype(np.float32)
_TO_FACING = np.column_stack([_FACING, (_OFFSETS * _FACING).sum(axis=1)]).astype(np.float32)
_TO_TUBES = np.column_stack([_FACING, *(_OFFSETS[:, i : i + 1] * _FACING for i in range(3))]).astype(np.float32)
_ALL_FACING = _FACING.sum(axis=0)
_OUTER = np.hypot(_OFFSETS[-1, 0], _OFFSETS[-1, 1])  # cm


@dataclass(frozen=True)
class Illumination:
    """Light on the m modules that get any.

    Attributes:
        modules: Flat index event · 640 + row · 40 + column, (m,).
        photo_electrons: Expected photo-electrons of each tube, (19, m).
        times: Mean arrival time at each tube, (19, m), ns.
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
    row, count = np.cumsum(first) - 1, int(first.sum())
    across = np.sqrt(1 - pairs.cosines * pairs.cosines) * np.float32(_OUTER / WIDE)
    is_wide = across < pairs.widths * pairs.distances
    narrow, wide = np.flatnonzero(~is_wide), np.flatnonzero(is_wide)
    tubes = _summed(_on_tubes(emission, pairs.take(narrow)), row[narrow], count)
    modules = _summed(_on_modules(emission, pairs.take(wide)), row[wide], count)
    light = tubes[:-6] + _TO_TUBES @ modules[:-6]
    moments = tubes[-6:] + modules[-6:]
    means = moments[1:] / np.maximum(moments[0], 1e-20)
    return Illumination(
        modules=place[first],
        photo_electrons=np.maximum(light, 0.0, out=light),
        times=means[0] + DELAY * (_OFFSETS @ means[2:]),
        spreads=np.sqrt(np.maximum(means[1] - means[0] * means[0], 0.0)),
    )


def _summed(columns: list[Floats], rows: Index, count: int) -> Array:
    """Sums the values (p,) of each of k columns that have the same of ``count`` rows, (k, count)."""
    sums = np.zeros((len(columns), count), np.float32)
    for total, column in zip(sums, columns, strict=True):
        np.add.at(total, rows, column)
    return sums


def _in_frames(emission: Emission, pairs: Pairs) -> tuple[Array, Array]:
    """Way from each piece to the module's centre, cm, and direction of the piece, in the module's frame, (3, p)."""
    start, along = (
        np.stack([column[pairs.tracks] for column in vectors.reshape(-1, 3).T.copy()])
        for vectors in (emission.positions, emission.directions)
    )
    centre = np.stack([column[pairs.modules] for column in _geometry.MODULE_CENTRES.T.copy()])
    path = _geometry.to_module_frame(centre - start, pairs.modules)
    return path, _geometry.to_module_frame(along, pairs.modules)


def _moments(emission: Emission, pairs: Pairs, light: Floats, flight: Floats) -> list[Floats]:
    """Light (p,) of each pair times 1, t, t² and the three components of ``flight`` (3, p).

    t is the arrival time at the module's centre in ns, flight the unit vector of the light in the module's frame.
    """
    arrival = emission.times.ravel()[pairs.tracks] + DELAY * pairs.distances
    weighted = light * arrival
    return [light, weighted, weighted * arrival, *(light * flight)]


def _on_modules(emission: Emission, pairs: Pairs) -> list[Floats]:
    """Wide cones: light at the centre and its slope, 12 columns as ``_TO_TUBES`` takes them, and moments."""
    path, along = _in_frames(emission, pairs)
    flight = path / pairs.distances
    cosines = np.sum(flight * along, axis=0)
    off = (cosines - pairs.cosines) / pairs.widths
    value = pairs.strengths * np.exp(off * off * np.float32(-0.5)) / (pairs.distances * pairs.distances) * flight
    slope = (along - cosines * flight) * (-off / (pairs.distances * pairs.widths))
    total = np.maximum(_ALL_FACING @ value, 0.0)
    products = [rise * component for rise in slope for component in value]
    return [*value, *products, *_moments(emission, pairs, total, flight)]


def _on_tubes(emission: Emission, pairs: Pairs) -> list[Floats]:
    """Narrow cones: light on each of the 19 tubes, and moments."""
    path, along = _in_frames(emission, pairs)
    scale = np.float32(np.sqrt(0.5)) / pairs.widths
    light = np.empty((c.PMTS, len(pairs)), np.float32)
    for start in range(0, len(pairs), CHUNK):
        part = slice(start, start + CHUNK)
        light[:, part] = _trace(path[:, part], along[:, part], pairs.cosines[part], scale[part], pairs.strengths[part])
    return [*light, *_moments(emission, pairs, light.sum(axis=0), path / pairs.distances)]


def _trace(path: Array, along: Array, cosines: Array, scale: Array, strengths: Floats) -> Array:
    """The formula at the top for tubes and pairs, (19, p); ``scale`` is 1 / (√2 · width).

    Products with the tubes' offsets do the geometry: squared distances, cos α and cos η times the distance.
    """
    square = np.sum(path * path, axis=0)
    straight = np.sum(path * along, axis=0)
    inverse = _TO_SQUARE @ np.vstack([path, np.ones_like(square), square])
    np.reciprocal(np.maximum(inverse, NEAREST**2, out=inverse), out=inverse)
    closer = np.sqrt(inverse)
    off = _TO_ALONG @ np.vstack([along * scale, straight * scale])
    off *= closer
    off -= cosines * scale
    off *= off
    light: Array = np.exp(np.negative(off, out=off), out=off)
    facing = _TO_FACING @ np.vstack([path * strengths, strengths])
    light *= np.maximum(facing, 0, out=facing)
    light *= inverse
    light *= closer
    return light
