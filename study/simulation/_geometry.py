"""Where the modules and their tubes are.

The tank's axis is y, upwards, and its centre is the origin, as in WatChMaL's IWCD files; lengths are in cm.
Row 0 is the highest ring. Column c looks inwards from azimuth (c + 1/2) · 9° = atan2(z, x), so that columns go to the
right for somebody who stands inside and looks out, and column 39 is the neighbour of column 0.

The tubes of a module, seen in the same way, count from the centre outwards and against the clock::

                10
            11      09
        12    03  02    08
        13  04  00  01  07
        14    05  06    18
            15      17
                16

In a module's own frame the axes point right (to the next column), up, and inwards (to the tank's axis).
"""

import numpy as np

from study.simulation import _constants as c
from study.simulation._arrays import Array, Flags, Floats, Index

MODULES = c.ROWS * c.COLUMNS
FLIP_HORIZONTAL = np.array([0, 4, 3, 2, 1, 6, 5, 13, 12, 11, 10, 9, 8, 7, 18, 17, 16, 15, 14])
"""``flipped[:, k] = module[:, FLIP_HORIZONTAL[k]]`` together with column c -> 39 - c mirrors an event left to right."""
FLIP_VERTICAL = np.array([0, 1, 6, 5, 4, 3, 2, 7, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8])
"""The same for row r -> 15 - r, upside down."""


def _module_angles() -> Array:
    """Azimuth of each module, (640,), in radians; module = row · 40 + column."""
    columns = (np.arange(c.COLUMNS) + 0.5) * (2 * np.pi / c.COLUMNS)
    return np.tile(columns, c.ROWS).astype(np.float32)


def _module_centres() -> Array:
    """Mean position of the tubes of each module, (640, 3)."""
    radius = c.TANK_RADIUS - _pmt_heights().mean()
    height = np.repeat(((c.ROWS - 1) / 2 - np.arange(c.ROWS)) * c.ROW_PITCH, c.COLUMNS)
    centres = np.stack([radius * np.cos(MODULE_ANGLES), height, radius * np.sin(MODULE_ANGLES)], axis=1)
    return centres.astype(np.float32)


def _pmt_normals() -> Array:
    """Direction each tube faces in its module's frame, (19, 3)."""
    tilt = np.radians(np.repeat(c.RING_TILTS, (1, 6, 12)))
    around = np.radians(np.concatenate([[0.0], np.arange(6) * 60.0, np.arange(12) * 30.0]))
    normals = np.stack([np.sin(tilt) * np.cos(around), np.sin(tilt) * np.sin(around), np.cos(tilt)], axis=1)
    return normals.astype(np.float32)


def _pmt_heights() -> Array:
    """How far each tube's face stands off the wall, (19,): they lie on a sphere centred behind the vessel's rim."""
    behind = np.sqrt(c.VESSEL_CURVATURE**2 - c.VESSEL_RADIUS**2) - c.VESSEL_CYLINDER
    heights: Array = c.PMT_SPHERE_RADIUS * PMT_NORMALS[:, 2] - np.float32(behind)
    return heights


def _pmt_offsets() -> Array:
    """Position of each tube's face from the mean of all, in the module's frame, (19, 3)."""
    offsets: Array = c.PMT_SPHERE_RADIUS * (PMT_NORMALS - PMT_NORMALS.mean(axis=0))
    return offsets


MODULE_ANGLES = _module_angles()
PMT_NORMALS = _pmt_normals()
PMT_OFFSETS = _pmt_offsets()
MODULE_CENTRES = _module_centres()
_COSINES, _SINES = np.cos(MODULE_ANGLES), np.sin(MODULE_ANGLES)


def to_module_frame(vectors: Array, modules: Index) -> Array:
    """Turns vectors (3, n) of the tank's frame into the frames of the modules (n,)."""
    cos, sin = _COSINES[modules], _SINES[modules]
    x, y, z = vectors
    return np.stack([z * cos - x * sin, y, -x * cos - z * sin])


def pmt_positions() -> Array:
    """Position of every tube in the tank's frame, (16, 40, 19, 3)."""
    cos, sin = _COSINES[:, None], _SINES[:, None]
    right, up, inwards = PMT_OFFSETS.T
    offsets = np.stack([-sin * right - cos * inwards, up + 0 * sin, cos * right - sin * inwards], axis=-1)
    positions: Array = MODULE_CENTRES[:, None] + offsets
    return positions.reshape(c.ROWS, c.COLUMNS, c.PMTS, 3)


def is_inside(positions: Floats) -> Flags:
    """Whether points (..., 3) lie in the water: within the radius and the height of the tank."""
    within: Flags = np.hypot(positions[..., 0], positions[..., 2]) < c.TANK_RADIUS
    return within & (np.abs(positions[..., 1]) < c.TANK_HALF_HEIGHT)


def distance_to_wall(positions: Floats, directions: Floats) -> Floats:
    """Path in cm from points inside (n, 3) along unit vectors (n, 3) to the barrel or an end, (n,)."""
    x, y, z = positions.T
    u, v, w = directions.T
    square = np.maximum(u * u + w * w, 1e-12)
    along = (x * u + z * w) / square
    barrel = -along + np.sqrt(along**2 + (c.TANK_RADIUS**2 - x * x - z * z) / square)
    end = (c.TANK_HALF_HEIGHT - y * np.sign(v)) / np.maximum(np.abs(v), 1e-12)
    distance: Floats = np.minimum(barrel, end)
    return distance
