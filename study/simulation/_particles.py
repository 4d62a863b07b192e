"""How a muon, an electron and a photon spend their energy in water, as pieces of track that emit light.

Left out: knock-on electrons of the muon, its decay electron (2.2 µs later, mostly after the readout window),
positron annihilation, and Compton scattering (which rules below some 30 MeV).
"""

import numpy as np

from study.simulation import _constants as c
from study.simulation import _geometry, _kinematics
from study.simulation._arrays import Array, Floats
from study.simulation._emission import Emission, tilt

PIECES = 16  # pieces of track an event is made of, whatever its particle
_CONE = 1 / c.REFRACTIVE_INDEX  # cos θ of showers: electrons above 3 MeV are within about 1 % of β = 1
_IONISATION = c.CRITICAL_ENERGY / c.RADIATION_LENGTH  # MeV/cm an electron loses to ionisation


def muon(vertices: Floats, directions: Floats, kinetic: Floats, rng: np.random.Generator) -> Emission:
    """A track that slows down, its cone closing and fading, to the threshold or the tank's wall.

    Args:
        vertices: (n, 3), cm.
        directions: Unit vectors, (n, 3).
        kinetic: (n,), MeV.
        rng: Source of the multiple scattering.
    """
    whole = _kinematics.muon_range(kinetic)
    dark = _kinematics.muon_range(_kinematics.threshold(c.MUON_MASS))
    lit = np.clip(whole - dark, 0.0, _geometry.distance_to_wall(vertices, directions))
    length = np.repeat(lit[:, None] / PIECES, PIECES, axis=1)
    energy = _kinematics.muon_energy(whole[:, None] - _middles(length))
    speed = _kinematics.beta(energy, c.MUON_MASS)
    kick = _kinematics.scattering_angle((energy + c.MUON_MASS) * speed**2, length)
    along = _scattered(directions, kick, rng)
    cosine = _kinematics.cherenkov_cosine(speed)
    slowing = np.gradient(cosine, axis=1) / np.sqrt(12)
    return Emission.in_water(
        positions=vertices[:, None] + _middles(along * length[..., None]),
        directions=along,
        times=_middles(length / speed) / c.SPEED_OF_LIGHT,
        photo_electrons=_kinematics.light_yield(cosine) * length,
        cosines=cosine,
        spreads=np.sqrt(c.CHROMATIC_SPREAD**2 + slowing**2 + (1 - cosine**2) * kick**2 / 3),
        lengths=length,
    )


def electron(vertices: Floats, directions: Floats, kinetic: Floats, rng: np.random.Generator) -> Emission:
    """The electron's own track and the pairs its bremsstrahlung makes; arguments as for ``muon``."""
    return Emission.in_water(**_shower(vertices, directions, kinetic, rng, PIECES // 2))


def photon(vertices: Floats, directions: Floats, energy: Floats, rng: np.random.Generator) -> Emission:
    """Nothing for a radiation length or so, then an electron and a positron, each a shower; arguments as for ``muon``.

    The path to the conversion is exponential, cut at the wall: a photon that leaves the tank triggers nothing.
    """
    count = len(energy)
    wall = _geometry.distance_to_wall(vertices, directions)
    path = -c.CONVERSION_LENGTH * np.log1p(rng.random(count) * np.expm1(-wall / c.CONVERSION_LENGTH))
    share = _pair_shares(count, rng)
    pair = np.maximum(energy - 2 * c.ELECTRON_MASS, 0.0)
    kinetic = np.concatenate([share * pair, (1 - share) * pair])
    opening = c.ELECTRON_MASS / (kinetic + c.ELECTRON_MASS) * rng.standard_normal((2, 2 * count))
    start = np.tile(vertices + path[:, None] * directions, (2, 1))
    legs = _shower(start, tilt(np.tile(directions, (2, 1)), *opening), kinetic, rng, PIECES // 4)
    both = {name: np.concatenate([column[:count], column[count:]], axis=1) for name, column in legs.items()}
    both["times"] += (path / c.SPEED_OF_LIGHT)[:, None]
    return Emission.in_water(**both)


def _pair_shares(count: int, rng: np.random.Generator) -> Floats:
    """Shares (n,) of the energy that one of a pair gets: Bethe and Heitler's 1 - 4/3 x (1 - x) at complete screening.

    That is 2/3 + (2x - 1)²/3: a uniform distribution in 6 of 7 cases, else one that is drawn by its inverse.
    """
    uniform = rng.random(count)
    return np.where(rng.random(count) < 6 / 7, uniform, (1 + np.cbrt(2 * uniform - 1)) / 2)


def _shower(
    vertices: Floats, directions: Floats, kinetic: Floats, rng: np.random.Generator, pieces: int
) -> dict[str, Floats]:
    """Columns of ``Emission``: ``pieces`` of the primary's track and as many of the secondaries'.

    The primary loses E_c/X0 per cm to ionisation and E/X0 per cm to radiation, so that its energy falls to 0 as
    (E + E_c) exp(-x/X0) - E_c; the light of what it radiates comes from the secondaries. One hard photon early, or
    none, makes its track shorter or longer than that: a gamma distribution with a standard deviation of one half.
    """
    path = c.RADIATION_LENGTH * np.log1p(kinetic / c.CRITICAL_ENERGY) * rng.gamma(4.0, 1 / 4, len(kinetic))
    path = np.clip(path, 1e-6, np.maximum(0.9 * kinetic / _IONISATION, 1e-6))
    share = path * _IONISATION / np.maximum(kinetic, 1e-6)
    light = _shower_light(kinetic, rng)
    primary = _primary(vertices, directions, kinetic, path, rng, pieces)
    primary["photo_electrons"] *= (light * share)[:, None]
    secondary = _secondaries(primary, rng)
    secondary["photo_electrons"] *= (light * (1 - share))[:, None]
    return {name: np.concatenate([primary[name], secondary[name]], axis=1) for name in secondary}


def _shower_light(kinetic: Floats, rng: np.random.Generator) -> Floats:
    """Photo-electrons of whole showers (n,), all around: a track length in proportion to the energy, and its noise."""
    visible = np.maximum(kinetic - _kinematics.threshold(c.ELECTRON_MASS), 0.0)
    noise = c.SHOWER_FLUCTUATION / np.sqrt(visible / 1000 + 1e-3) * rng.standard_normal(len(kinetic))
    track: Floats = c.SHOWER_TRACK_LENGTH * visible * np.maximum(1 + noise, 0.5)
    return _kinematics.light_yield(_CONE) * track


def _primary(
    vertices: Floats, directions: Floats, kinetic: Floats, path: Floats, rng: np.random.Generator, pieces: int
) -> dict[str, Floats]:
    """The electron's own track of ``path`` cm; its light adds up to 1."""
    length = np.repeat(path[:, None] / pieces, pieces, axis=1)
    left = np.expm1((path[:, None] - _middles(length)) / c.RADIATION_LENGTH)
    energy = kinetic[:, None] * left / np.expm1(path / c.RADIATION_LENGTH)[:, None]
    kick = np.minimum(_kinematics.scattering_angle(energy + c.ELECTRON_MASS, length), 0.5)
    along = _scattered(directions, kick, rng)
    return {
        "positions": vertices[:, None] + _middles(along * length[..., None]),
        "directions": along,
        "times": _middles(length) / c.SPEED_OF_LIGHT,
        "photo_electrons": np.full_like(length, 1 / pieces),
        "cosines": np.full_like(length, _CONE),
        "spreads": np.sqrt(c.CHROMATIC_SPREAD**2 + (1 - _CONE**2) * kick**2),
        "lengths": length,
        "energies": energy,
    }


def _secondaries(primary: dict[str, Floats], rng: np.random.Generator) -> dict[str, Floats]:
    """Tracks of the pairs of one radiated photon for each piece of the primary's track; their light adds up to 1.

    A photon radiated at energy E carries up to E, uniformly when weighted by its own energy, flies one exponential
    path and gives a pair, of which the harder member is followed: over its range, scattered as at half of it.
    """
    shape = primary["times"].shape
    radiated = np.maximum(primary["energies"] * rng.random(shape), 1.0)
    hard = radiated * (1 - rng.random(shape) / 2)
    track = c.RADIATION_LENGTH * np.log1p(hard / c.CRITICAL_ENERGY)
    kick = np.minimum(_kinematics.scattering_angle(0.7 * hard, track / 2), 0.7)
    along = tilt(primary["directions"], *(kick * rng.standard_normal((2, *shape))))
    path = c.CONVERSION_LENGTH * rng.standard_exponential(shape)
    return {
        "positions": primary["positions"] + path[..., None] * primary["directions"] + track[..., None] / 2 * along,
        "directions": along,
        "times": primary["times"] + (path + track / 2) / c.SPEED_OF_LIGHT,
        "photo_electrons": radiated / radiated.sum(axis=1, keepdims=True),
        "cosines": primary["cosines"],
        "spreads": np.sqrt(c.CHROMATIC_SPREAD**2 + (1 - _CONE**2) * (0.7 * kick) ** 2),
        "lengths": track,
    }


def _middles(steps: Floats) -> Floats:
    """Sum of the steps along axis 1 up to the middle of each."""
    return np.cumsum(steps, axis=1) - steps / 2


def _scattered(directions: Floats, kick: Floats, rng: np.random.Generator) -> Array:
    """Direction of each piece (n, k, 3) of tracks that scatter by ``kick`` (n, k) radians in each piece."""
    angles = np.cumsum(kick * rng.standard_normal((2, *kick.shape)), axis=2)
    return tilt(np.broadcast_to(directions[:, None], (*kick.shape, 3)), angles[0], angles[1])
