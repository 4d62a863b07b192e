"""What the tubes make of light: photo-electrons, charges, times, and hits that are not the event's."""

from statistics import NormalDist

import numpy as np

from study.simulation import _constants as c
from study.simulation import _geometry
from study.simulation._arrays import Array, Index, Integers
from study.simulation._light import DELAY, Illumination

TUBES = _geometry.MODULES * c.PMTS  # 12,160

_FIRST, _LAST, _PER_UNIT = -20.0, 3.5, 128  # of log(e/n), see _earliest
_QUANTILES = np.array(
    [NormalDist().inv_cdf(-np.expm1(-np.exp(x))) for x in np.arange(_FIRST, _LAST, 1 / _PER_UNIT)], np.float32
)


def digitise(light: Illumination, events: int, rng: np.random.Generator) -> Array:
    """Charges in photo-electrons and times in ns, (events, 16, 40, 38) float32; both are 0 for a tube without a hit.

    Channels 0-18 are the charges of a module's tubes, 19-37 the times of their first photo-electrons.
    """
    image = np.zeros((events, c.ROWS, c.COLUMNS, 2 * c.PMTS), np.float32)
    flat = image.reshape(-1)
    charge, number, times = _direct_hits(light, rng)
    flat[charge] = _charges(number, rng)
    flat[charge + c.PMTS] = times
    for tubes, late in (_reflected_hits(light, rng), _dark_hits(events, rng)):
        noise = tubes + tubes // c.PMTS * c.PMTS
        np.add.at(flat, noise, _charges(np.ones(len(noise), np.intp), rng))
        before = flat[noise + c.PMTS]
        flat[noise + c.PMTS] = np.where((before > 0) & (before < late), before, late)
    return image


def _direct_hits(light: Illumination, rng: np.random.Generator) -> tuple[Index, Integers, Array]:
    """Places of the charges in the flat image, numbers of photo-electrons and times of the tubes that see light.

    A tube has none when the first one, after an exponential waiting time, would come beyond the expected number; the
    rest after the first are Poisson distributed again. This draws one fast number for most tubes.
    """
    expected = light.photo_electrons.ravel()
    waits = rng.standard_exponential(expected.shape, dtype=np.float32)
    hit = np.flatnonzero(waits < expected)
    pmts = hit // len(light.modules)
    rows = hit - pmts * len(light.modules)
    number = 1 + rng.poisson(expected[hit] - waits[hit])
    width = np.hypot(light.spreads, c.TRANSIT_TIME_SPREAD)[rows]
    times = light.times.ravel()[hit] + width * _earliest(number, rng)
    return 2 * c.PMTS * light.modules[rows] + pmts, number, np.maximum(times, 1e-3)


def _reflected_hits(light: Illumination, rng: np.random.Generator) -> tuple[Index, Array]:
    """Flat tubes and times of light that the wall sends back: from a bright module to any tube, and as much later."""
    bright = np.cumsum(light.photo_electrons.sum(axis=0, dtype=np.float64))
    count = rng.poisson(c.REFLECTED_FRACTION * bright[-1]) if len(bright) else 0
    start = np.searchsorted(bright, rng.random(count) * bright[-1:], side="right")
    event, module = np.divmod(light.modules[start], _geometry.MODULES)
    tubes = rng.integers(TUBES, size=count)
    way = _geometry.MODULE_CENTRES[tubes // c.PMTS] - _geometry.MODULE_CENTRES[module]
    times = light.times[0, start] + DELAY * np.sqrt(np.sum(way * way, axis=1))
    return event * TUBES + tubes, np.maximum(times, 1e-3)


def _dark_hits(events: int, rng: np.random.Generator) -> tuple[Index, Array]:
    """Flat tubes and times of thermal electrons, uniform over tubes and the readout window."""
    count = rng.poisson(c.DARK_RATE * c.READOUT_WINDOW * TUBES * events)
    times = c.READOUT_WINDOW * rng.random(count, dtype=np.float32)
    return rng.integers(events * TUBES, size=count), times


def _charges(number: Integers, rng: np.random.Generator) -> Array:
    """Measured charges of ``number`` photo-electrons each (n,), smeared by the amplification of every one."""
    noise = c.CHARGE_RESOLUTION * rng.standard_normal(len(number), dtype=np.float32)
    charges = np.maximum(number + np.sqrt(number) * noise, c.CHARGE_THRESHOLD)
    return np.asarray(charges, np.float32)


def _earliest(number: Integers, rng: np.random.Generator) -> Array:
    """The smallest of ``number`` standard normal values, (n,): negative and sharper the more there are.

    The smallest of n lies below z with probability p = 1 - (1 - Φ(z))ⁿ, so that Φ(z) = 1 - exp(-e/n) for an
    exponentially distributed e; Φ's inverse is tabulated in log(e/n).
    """
    waits = np.maximum(rng.standard_exponential(len(number), dtype=np.float32), 1e-8)
    logarithm = np.log(waits / number)
    places: Index = np.clip((logarithm - _FIRST) * _PER_UNIT, 0, len(_QUANTILES) - 1).astype(np.intp)
    return _QUANTILES[places]
