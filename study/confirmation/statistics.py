"""What a few retrainings say about the configurations that were retrained: pure functions of their values."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from objectives._task import Direction

CONFIDENCE = 0.95
DRAWS = 100_000
"""Of the posterior: a probability is then right to 0.002."""
SEED = 0
"""The same draws each time, so that the same retrainings give the same numbers."""


@dataclass(frozen=True)
class Estimate:
    """The mean of one configuration's values, over seeds.

    Attributes:
        mean: None without a value.
        deviation: The sample's standard deviation (N - 1 degrees of freedom); None with fewer than two values.
        error: Standard error of the mean; None with fewer than two values.
        interval: The mean's 95 % confidence interval by Student's t; None with fewer than two values.
    """

    count: int
    mean: float | None
    deviation: float | None
    error: float | None
    interval: tuple[float, float] | None


def estimate(values: Sequence[float]) -> Estimate:
    """Mean, spread, and how well the mean is known.

    Args:
        values: Finite, one per seed.
    """
    count = len(values)
    if count == 0:
        return Estimate(0, None, None, None, None)
    mean = float(np.mean(values))
    if count == 1:
        return Estimate(1, mean, None, None, None)
    deviation = float(np.std(values, ddof=1))
    error = deviation / count**0.5
    half = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * error
    return Estimate(count, mean, deviation, error, (mean - half, mean + half))


def probability_best(samples: Sequence[Sequence[float]], direction: Direction) -> list[float | None]:
    """The probability that each configuration's mean over all seeds is the best of all.

    Values are taken as normal about each configuration's mean, with one variance for all: leaders differ little, and a
    handful of seeds does not tell a variance for each. Under the reference prior p(means, variance) ∝ 1 / variance the
    posterior is a scaled inverse χ² for the variance, with N − K degrees of freedom for N values of K configurations,
    and given it a normal for each mean. So a mean is uncertain by Student's t, and for two configurations the result
    is that of the t test with pooled variance, one-sided. It is the share of `DRAWS` seeded draws in which the
    configuration is the best; of equal ones each has its part.

    Args:
        samples: Finite values of each configuration, over seeds.
        direction: Which way values are better.

    Returns:
        One number per configuration; None where it has no value, for all where none has two.
    """
    known = [index for index, values in enumerate(samples) if len(values)]
    freedom = sum(len(samples[index]) - 1 for index in known)
    found: list[float | None] = [None] * len(samples)
    if len(known) == 1:
        found[known[0]] = 1.0
    elif freedom > 0:
        for index, share in zip(known, _shares([samples[index] for index in known], freedom, direction), strict=True):
            found[index] = float(share)
    return found


def _shares(samples: Sequence[Sequence[float]], freedom: int, direction: Direction) -> list[float]:
    random = np.random.default_rng(SEED)
    counts = np.array([len(values) for values in samples])
    means = np.array([np.mean(values) for values in samples])
    squares = sum(float(np.sum((np.asarray(values) - mean) ** 2)) for values, mean in zip(samples, means, strict=True))
    deviations = np.sqrt(squares / random.chisquare(freedom, size=(DRAWS, 1)))
    draws = means + deviations / np.sqrt(counts) * random.standard_normal((DRAWS, len(samples)))
    signed = draws if direction == "maximize" else -draws
    best = signed == signed.max(axis=1, keepdims=True)
    shares: list[float] = (best / best.sum(axis=1, keepdims=True)).mean(axis=0).tolist()
    return shares


def optimism(searched: float, retrained: Estimate, direction: Direction) -> float | None:
    """How much better a search's own number is than the mean of the retrainings; None without one.

    Its standard error is that of the mean. A search picks the best of many numbers, each with its own luck of the
    seed, so this is positive on average.
    """
    if retrained.mean is None:
        return None
    return searched - retrained.mean if direction == "maximize" else retrained.mean - searched


def average(values: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    """The mean of independent values, and its standard error from theirs."""
    return float(np.mean(values)), float(np.sqrt(np.sum(np.square(errors)))) / len(values)
