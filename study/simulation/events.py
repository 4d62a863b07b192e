"""Simulated events in the reference format."""

from collections.abc import Iterator
from itertools import count as numbers

import numpy as np
from numpy.typing import NDArray

from study.simulation import _constants as c
from study.simulation import _electronics, _emission, _kinematics, _light, _particles
from study.simulation._arrays import Floats

Columns = dict[str, NDArray[np.generic]]

CLASS_NAMES = ("gamma", "electron", "muon")
GROUP = 48  # events drawn from one random stream, three classes in turn; a change changes the events of every seed
_PARTICLES = (_particles.photon, _particles.electron, _particles.muon)
_THRESHOLDS = (
    2 * (c.ELECTRON_MASS + _kinematics.threshold(c.ELECTRON_MASS)),
    _kinematics.threshold(c.ELECTRON_MASS),
    _kinematics.threshold(c.MUON_MASS),
)


def simulate(count: int, seed: int, *, block: int = GROUP) -> Iterator[Columns]:
    """Yields ``count`` events, ``block`` at a time (the last block may be smaller).

    Event i depends on ``seed`` and i alone, not on ``count`` nor on ``block``; between machines, rounding may move a
    photo-electron now and then. Among the first 3 m events each class comes m times. The vertex is uniform in the tank
    at least 70 cm from its walls and ends, the direction is isotropic, and the energy is uniform from the Cherenkov
    threshold to 1000 MeV above it.

    Args:
        count: Number of events, 0 or more.
        seed: Seed of all randomness, 0 or more.
        block: Events in a block, 1 or more; 48 need no copying.

    Yields:
        ``event_data`` (b, 16, 40, 38) float32, charges in photo-electrons (channels 0-18) and times in ns (19-37);
        ``labels`` (b,) int64, 0 gamma, 1 electron, 2 muon; ``energies`` (b, 1) float32, MeV, kinetic for electrons
        and muons, the whole energy for gammas; ``positions`` (b, 1, 3) float32, cm, the vertex, y along the tank's
        axis; ``angles`` (b, 2) float32, radians: θ from +y, and φ = atan2(z, x).
    """
    for name, value, least in (("count", count, 0), ("seed", seed, 0), ("block", block, 1)):
        if value < least:
            raise ValueError(f"{name} is {value}; give {least} or more")
    return _blocks(count, seed, block)


def _blocks(count: int, seed: int, block: int) -> Iterator[Columns]:
    groups = (_group(seed, number) for number in numbers())
    waiting: Columns = {}
    for start in range(0, count, block):
        size = min(block, count - start)
        while not waiting or len(waiting["labels"]) < size:
            more = next(groups)
            waiting = {name: np.concatenate([waiting[name], more[name]]) for name in waiting} or more
        yield {name: column[:size] for name, column in waiting.items()}
        waiting = {name: column[size:] for name, column in waiting.items() if size < len(column)}


def _group(seed: int, number: int) -> Columns:
    """The events of random stream ``number``: 48 · number and the 47 after it."""
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(number,))))
    labels = np.argsort(rng.random((GROUP // 3, 3)), axis=1).ravel()
    vertices, directions = _vertices(rng), _directions(rng)
    energies = np.asarray(_THRESHOLDS)[labels] + c.ENERGY_SPAN * rng.random(GROUP)
    members = [np.flatnonzero(labels == label) for label in range(3)]
    parts = [
        particle(vertices[of], directions[of], energies[of], rng)
        for particle, of in zip(_PARTICLES, members, strict=True)
    ]
    light = _light.illuminate(_emission.join(parts, np.argsort(np.concatenate(members))))
    angles = np.stack([np.arccos(directions[:, 1]), np.arctan2(directions[:, 2], directions[:, 0])], axis=1)
    return {
        "event_data": _electronics.digitise(light, GROUP, rng),
        "labels": labels.astype(np.int64),
        "energies": energies[:, None].astype(np.float32),
        "positions": vertices[:, None].astype(np.float32),
        "angles": angles.astype(np.float32),
    }


def _vertices(rng: np.random.Generator) -> Floats:
    """Points (48, 3) in cm, uniform in the tank's inner part."""
    radius = (c.TANK_RADIUS - c.WALL_MARGIN) * np.sqrt(rng.random(GROUP))
    azimuth = 2 * np.pi * rng.random(GROUP)
    height = (c.TANK_HALF_HEIGHT - c.WALL_MARGIN) * (2 * rng.random(GROUP) - 1)
    return np.stack([radius * np.cos(azimuth), height, radius * np.sin(azimuth)], axis=1)


def _directions(rng: np.random.Generator) -> Floats:
    """Isotropic unit vectors, (48, 3)."""
    vectors = rng.standard_normal((GROUP, 3))
    lengths: Floats = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths
