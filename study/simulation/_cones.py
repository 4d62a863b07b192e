"""Which modules the cones of light touch: from centres, before any tube is looked at."""

from dataclasses import dataclass

import numpy as np

from study.simulation import _constants as c
from study.simulation import _geometry
from study.simulation._arrays import Array, Floats, Index
from study.simulation._emission import Emission

WIDTHS = 3.0  # standard deviations of a cone that are worked out; 0.3 % of the light lies beyond
FAINTEST = 0.02  # photo-electrons; a piece that would give a module less gives it none, 0.3 % of the light in all
REACH = 23.0  # cm, from a module's axis to the edge of its outer tubes
NEAREST = 20.0  # cm; from a shorter distance than this a tube gets no more light

_PLANES = np.column_stack([_geometry.MODULE_CENTRES, np.ones(_geometry.MODULES)]).astype(np.float32)
_SPHERES = np.column_stack([_PLANES, (_geometry.MODULE_CENTRES**2).sum(axis=1)]).astype(np.float32)
_TUBE = np.float32(c.PMT_RADIUS**2 / 2 / np.sqrt(2 * np.pi))  # cm², area / 2π / √(2π)


@dataclass(frozen=True)
class Pairs:
    """Pieces of track and the modules they shine on: p pairs, those of one module in one event together.

    Attributes:
        tracks: Flat index event · pieces + piece, (p,).
        modules: Row · 40 + column, (p,).
        distances: From the middle of the piece to the centre of the tubes, (p,), cm.
        cosines: cos θ of the cone, (p,).
        widths: Standard deviation of cos α about it from everything, (p,).
        strengths: N / (2π √(2π) · width) · area of a tube · attenuation, (p,), cm².
    """

    tracks: Index
    modules: Index
    distances: Array
    cosines: Array
    widths: Array
    strengths: Floats

    def __len__(self) -> int:
        return len(self.tracks)

    def take(self, kept: Index) -> "Pairs":
        """The pairs at the places ``kept``."""
        return Pairs(**{name: getattr(self, name)[kept] for name in Pairs.__dataclass_fields__})


def find_pairs(emission: Emission) -> Pairs:
    """Pairs with more than ``FAINTEST`` photo-electrons between them, going by the module's centre."""
    tracks, modules, distances, miss = _touched(emission)
    scalars = (emission.cosines, emission.lengths, emission.spreads, emission.photo_electrons)
    cosines, lengths, spreads, light = (column.ravel()[tracks] for column in scalars)
    sine_square = 1 - cosines * cosines
    squares = distances * distances
    apparent = sine_square * (sine_square * lengths * lengths / 12 + c.PMT_RADIUS**2 / 4) / squares
    widths = np.sqrt(spreads * spreads + apparent)
    strengths = _TUBE * light / widths * np.exp(distances * np.float32(-1 / c.ATTENUATION_LENGTH))
    off = np.maximum(miss - np.float32(REACH), 0) / (widths * distances)
    bright = c.PMTS * strengths * np.exp(off * off * np.float32(-0.5)) > FAINTEST * squares
    return Pairs(tracks, modules, distances, cosines, widths, strengths).take(np.flatnonzero(bright))


def _touched(emission: Emission) -> tuple[Index, Index, Array, Array]:
    """Pieces, modules, distances (cm) where a cone touches a module, and how far (cm) the centre is off the cone.

    With a module at m and a piece at r along u, |m - r|² and (m - r) · u are products of two matrices.
    """
    positions, directions = emission.positions.reshape(-1, 3), emission.directions.reshape(-1, 3)
    cosines, lengths, spreads = (a.ravel() for a in (emission.cosines, emission.lengths, emission.spreads))
    ones = np.ones((len(positions), 1), np.float32)
    squares = np.sum(positions * positions, axis=1, keepdims=True)
    offsets = np.sum(positions * directions, axis=1, keepdims=True)
    distances = _SPHERES @ np.hstack([-2 * positions, squares, ones]).T
    np.sqrt(np.maximum(distances, NEAREST**2, out=distances), out=distances)
    miss = _PLANES @ np.hstack([directions, -offsets]).T
    scratch = distances * cosines
    miss -= scratch
    np.abs(miss, out=miss)
    np.multiply(distances, np.float32(WIDTHS) * spreads, out=scratch)
    margin = REACH + (1 - cosines * cosines) * lengths / 2
    scratch += np.where(emission.photo_electrons.ravel() > 0, margin, -np.inf).astype(np.float32)
    near = np.flatnonzero(miss < scratch)
    modules = near // len(positions)
    return near - modules * len(positions), modules, distances.ravel()[near], miss.ravel()[near]
