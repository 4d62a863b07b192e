"""Energy, speed and range of charged particles in water, and their Cherenkov light."""

import numpy as np

from study.simulation import _constants as c
from study.simulation._arrays import Floats


def beta(kinetic: Floats, mass: float) -> Floats:
    """Speed in units of c of a particle of ``kinetic`` energy and ``mass``, both in MeV."""
    momentum: Floats = np.sqrt(kinetic * (kinetic + 2 * mass))
    return momentum / (kinetic + mass)


def threshold(mass: float) -> float:
    """Kinetic energy in MeV above which a particle of ``mass`` (MeV) emits light: β = 1/n.

    0.26 MeV for an electron and 53.1 MeV for a muon at n = 1.34 (54.6 MeV at n = 1.33).
    """
    gamma = 1 / np.sqrt(1 - c.REFRACTIVE_INDEX**-2)
    return float((gamma - 1) * mass)


def cherenkov_cosine(speed: Floats) -> Floats:
    """cos θ = 1/(nβ) of the cone; 1 at and below the threshold, where there is no light."""
    return np.minimum(1 / (c.REFRACTIVE_INDEX * np.maximum(speed, 1e-3)), 1.0)


def light_yield(cosine: Floats | float) -> Floats | float:
    """Photo-electrons per cm of track if tubes covered the whole sphere: Frank and Tamm times the efficiency."""
    return c.EFFICIENCY * c.PHOTONS_PER_LENGTH * (1 - cosine * cosine)


def scattering_angle(momentum_beta: Floats, length: Floats) -> Floats:
    """Highland's plane angle in radians after ``length`` cm at ``momentum_beta`` = pβ in MeV, without its logarithm.

    The logarithm is a correction of some percent for the whole track, and wrong for a track cut into steps.
    """
    thickness: Floats = np.sqrt(length / c.RADIATION_LENGTH)
    return c.SCATTERING_ENERGY / momentum_beta * thickness


def stopping_power(kinetic: Floats) -> Floats:
    """Bethe's mean energy loss of a muon in water in MeV/cm, with the density effect (PDG)."""
    gamma = 1 + kinetic / c.MUON_MASS
    square = gamma * gamma - 1  # (βγ)²
    ratio = c.ELECTRON_MASS / c.MUON_MASS
    largest = 2 * c.ELECTRON_MASS * square / (1 + 2 * gamma * ratio + ratio**2)
    logarithm: Floats = 0.5 * np.log(2 * c.ELECTRON_MASS * square * largest / c.MEAN_EXCITATION**2)
    speed = square / gamma**2
    loss: Floats = (logarithm - speed - _density_effect(square) / 2) / speed
    return c.DENSITY * c.BETHE_CONSTANT * c.CHARGE_TO_MASS * loss


def _density_effect(square: Floats) -> Floats:
    """Sternheimer's δ at (βγ)² = ``square`` (PDG)."""
    a, k, low, high, constant = c.STERNHEIMER
    x = 0.5 * np.log10(square)
    delta = 2 * np.log(10) * x - constant + a * np.maximum(high - x, 0.0) ** k
    return np.where(x < low, 0.0, delta)


def _range_table() -> tuple[Floats, Floats]:
    """Kinetic energies in MeV and the continuous-slowing-down ranges in cm of muons in water."""
    kinetic = np.geomspace(1.0, 3000.0, 2000)
    inverse = 1 / stopping_power(kinetic)
    steps = np.diff(kinetic) * (inverse[1:] + inverse[:-1]) / 2
    return kinetic, np.concatenate([[0.0], np.cumsum(steps)])  # below 1 MeV less than 0.1 mm is left


_KINETIC, _RANGE = _range_table()


def muon_range(kinetic: Floats | float) -> Floats:
    """Path in cm a muon of ``kinetic`` energy (1 to 3000 MeV) goes before it stops."""
    return np.asarray(np.interp(kinetic, _KINETIC, _RANGE))


def muon_energy(left: Floats) -> Floats:
    """Kinetic energy in MeV of a muon with ``left`` cm to go; the inverse of ``muon_range``."""
    return np.asarray(np.interp(left, _RANGE, _KINETIC))
