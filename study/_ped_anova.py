"""PED-ANOVA: how much the density of a parameter's values differs between the best trials and all trials.

Source: S. Watanabe, A. Bansal, F. Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
Subspaces", IJCAI 2023, with the treatment of conditional parameters of "Conditional PED-ANOVA", arXiv:2601.20800. The
numbers are those of Optuna's `PedAnovaImportanceEvaluator`; many weightings of the trials are evaluated at once, which
takes a hundredth of its time and is what uncertainties need.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers._tpe._erf import erf

CELLS = 50
"""Of a numeric parameter's range."""
PRIOR = 1.0
"""Weight of the uniform prior, in trials."""
LEAST_ACTIVE = 2
"""A parameter that fewer trials have counts for nothing."""
NARROWEST = 0.5 / 1.64
"""Bandwidth in cells."""

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Column:
    """One parameter's values in cells.

    Attributes:
        cells: Of each trial, (n,); -1 where it has no such parameter.
        size: How many cells there are.
        ordered: Whether they have an order.
    """

    cells: Indices
    size: int
    ordered: bool


def column_of(distribution: BaseDistribution, values: Sequence[Any]) -> Column:
    """Values, None for none, in the cells of their distribution; what lies outside is in the cell at the edge."""
    if isinstance(distribution, CategoricalDistribution):
        cell = {repr(choice): place for place, choice in enumerate(distribution.choices)}
        cells = np.array([-1 if value is None else cell.get(repr(value), -1) for value in values], np.int64)
        return Column(cells, len(distribution.choices), ordered=False)
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        raise TypeError(f"no cells for {distribution!r}")
    size = _cells_of(distribution)
    ends = np.array([distribution.low, distribution.high], np.float64)
    known = np.array([value is not None for value in values], np.bool_)
    numbers = np.array([distribution.low if value is None else value for value in values], np.float64)
    if distribution.log:
        ends, numbers = np.log(ends), np.log(np.maximum(numbers, np.finfo(np.float64).tiny))
    width = (ends[1] - ends[0]) / (size - 1) if size > 1 else 1.0
    places = np.ceil((numbers - ends[0]) / width - 0.5)
    return Column(np.where(known, np.clip(places, 0, size - 1), -1).astype(np.int64), size, ordered=True)


def _cells_of(distribution: FloatDistribution | IntDistribution) -> int:
    if distribution.single():
        return 1
    if isinstance(distribution, IntDistribution) and distribution.log:
        return min(int(np.ceil(np.log2(distribution.high - distribution.low + 1))) + 1, CELLS)
    if distribution.step is not None:
        return min(round((distribution.high - distribution.low) / distribution.step) + 1, CELLS)
    return CELLS


def divergences(column: Column, weights: Floats, best: Floats) -> Floats:
    """The importance by each weighting of the trials.

    Args:
        column: Of n trials.
        weights: How often each trial counts, (draws, n) or (1, n) for all draws.
        best: The same of the best trials alone, (draws, n); at most `weights`.

    Returns:
        (draws,), from 0.
    """
    draws = len(best)
    active = column.cells >= 0
    if column.size < 2 or active.sum() < LEAST_ACTIVE:
        return np.zeros(draws)
    shown = np.zeros((len(column.cells), column.size))
    shown[active, column.cells[active]] = 1.0
    all_counts, best_counts = weights @ shown, best @ shown
    of_all = np.maximum(all_counts.sum(axis=1) / weights.sum(axis=1), 1e-12)
    of_best = best_counts.sum(axis=1) / best.sum(axis=1)
    density = _ordered if column.ordered else _unordered
    local, top = density(all_counts) + 1e-12, density(best_counts) + 1e-12
    pearson = (local * (top / local - 1) ** 2).sum(axis=1)
    quantile = best.sum(axis=1) / weights.sum(axis=1)
    return np.asarray(quantile**2 * of_best**2 / of_all * pearson)


def _unordered(counts: Floats) -> Floats:
    """The density over choices, (draws, size), of counts like it."""
    size, total = counts.shape[1], counts.sum(axis=1, keepdims=True)
    kernels = (counts > 0).sum(axis=1, keepdims=True) + 1
    mixed = (total * PRIOR / kernels + counts) / (size * PRIOR / kernels + 1) + PRIOR / size
    return np.asarray(mixed / (total + PRIOR))


def _ordered(counts: Floats) -> Floats:
    """The density over cells, (draws, size): truncated normal kernels on the cells, and a wide one as the prior."""
    size = counts.shape[1]
    total = counts.sum(axis=1, keepdims=True)
    places = np.arange(size)
    # All distances between two cells' edges and centres are n + 1/2: one table of the normal distribution per draw.
    edges = np.arange(-size, size + 1) + 0.5
    table = _normal(edges[None, :] / _bandwidths(counts)[:, None])
    mass = table[:, size - places - 1 + size] - table[:, size - 1 - places]  # of a kernel inside the range
    kernel = table[:, 1:] - table[:, :-1]  # by distance, from 1 - size to size
    length = 4 * size
    mixed = np.fft.irfft(np.fft.rfft(counts / mass, length) * np.fft.rfft(kernel, length), length)
    mixed = np.maximum(mixed[:, size - 1 : 2 * size - 1], 0)
    at = (places - (size - 1) / 2) / size
    prior = _normal(at + 0.5 / size) - _normal(at - 0.5 / size)
    return np.asarray((mixed + PRIOR * prior / prior.sum()) / (total + PRIOR))


def _bandwidths(counts: Floats) -> Floats:
    """By Scott's rule, in cells, (draws,)."""
    places, total = np.arange(counts.shape[1]), np.maximum(counts.sum(axis=1), 1)
    mean = counts @ places / total
    spread = np.sqrt((counts * (places - mean[:, None]) ** 2).sum(axis=1) / np.maximum(1, total - 1))
    running = counts.cumsum(axis=1)
    first = (running >= np.maximum(1, total // 4)[:, None]).argmax(axis=1)
    third = (running > (total * 3 // 4)[:, None]).argmax(axis=1)
    return np.asarray(np.maximum(1.059 * np.minimum((third - first) / 1.34, spread) * total**-0.2, NARROWEST))


def _normal(values: Floats) -> Floats:
    """The standard normal distribution function."""
    flat = erf(np.ascontiguousarray(values / math.sqrt(2)).ravel())
    return np.asarray(0.5 * (1 + flat.reshape(values.shape)))
