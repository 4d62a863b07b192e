"""Whether a parameter's effect on the trials' ranks can be told from chance, given all other parameters.

The ranks, as normal scores, are fitted by a sum of one curve per parameter: a parabola over its range, or a level per
choice. A parameter is tested by what it explains beyond all others, against residuals that are exchanged at random (D.
Freedman and D. Lane, "A nonstochastic interpretation of reported significance levels", 1983). A sampler that prefers
good values makes parameters go together: a trial with a good learning rate also has the choices that were thought
good. Judged one at a time parameters that do not matter would then seem to; given the others they do not. What only
shows in interactions is not seen.
"""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from study._ped_anova import Column

EXCHANGES = 200
SIGNIFICANCE = 0.05
SPARE = 10
"""Trials that must be left when all curves are fitted."""

Floats = NDArray[np.float64]


def needed(columns: Sequence[Column]) -> int:
    """Trials without which no effect can be told."""
    return 1 + sum(int(_curve(column).shape[1]) for column in columns) + SPARE


def told_from_chance(columns: Sequence[Column], random: np.random.Generator) -> NDArray[np.bool_]:
    """Which parameters have an effect.

    Where none has, one in twenty calls finds any: the threshold is what the greatest of all reaches by chance.

    Args:
        columns: Of the trials, best first.
        random: Exchanges the residuals.
    """
    curves = [_curve(column) for column in columns]
    trials = len(columns[0].cells) if columns else 0
    if trials < needed(columns):
        return np.zeros(len(columns), np.bool_)
    exchanges = np.argsort(random.random((EXCHANGES, trials)), axis=1)
    scores = _scores(trials)
    tested = [_tested(curves, place, scores, exchanges) for place in range(len(curves))]
    actual, chance = np.array([one[0] for one in tested]), np.array([one[1:] for one in tested])
    mean, spread = chance.mean(axis=1, keepdims=True), chance.std(axis=1, keepdims=True)
    known = spread[:, 0] > 0
    if not known.any():
        return np.zeros(len(columns), np.bool_)
    spread = np.where(spread > 0, spread, 1.0)
    greatest = ((chance - mean) / spread)[known].max(axis=0)
    return np.asarray(known & ((actual - mean[:, 0]) / spread[:, 0] > np.quantile(greatest, 1 - SIGNIFICANCE)))


def _tested(curves: Sequence[Floats], place: int, scores: Floats, exchanges: NDArray[np.int64]) -> Floats:
    """The ratio of what a parameter explains to what nothing does: as found, and after each exchange."""
    ones = np.ones((len(scores), 1))
    others = _basis(np.hstack([ones, *(curve for i, curve in enumerate(curves) if i != place)]))
    own = curves[place]
    own = _basis(own - others @ (others.T @ own))
    residual = scores - others @ (others.T @ scores)
    drawn = np.vstack([residual, residual[exchanges]])
    by_own, by_others = ((drawn @ own) ** 2).sum(axis=1), ((drawn @ others) ** 2).sum(axis=1)
    left = (drawn**2).sum(axis=1) - by_own - by_others
    return np.asarray(by_own / np.maximum(left, 1e-12))


def _basis(vectors: Floats) -> Floats:
    """Orthonormal vectors that span the same; none for those that vanish but for rounding."""
    left, sizes, _ = np.linalg.svd(vectors, full_matrices=False)
    return np.asarray(left[:, sizes > 1e-6 * np.sqrt(len(vectors))])


def _curve(column: Column) -> Floats:
    """What a parameter may add, (n, terms) of mean 0 and variance 1: a parabola or levels, and whether it is there."""
    active = column.cells >= 0
    if column.ordered:
        place = np.where(active, 2 * column.cells / max(1, column.size - 1) - 1, 0.0)
        terms = np.stack([place, place**2], axis=1)
    else:
        terms = (column.cells[:, None] == np.arange(1, column.size)).astype(np.float64)
    terms = np.hstack([terms, active[:, None]])
    terms = terms - terms.mean(axis=0)
    sizes = terms.std(axis=0)
    return np.asarray(terms[:, sizes > 1e-9] / sizes[sizes > 1e-9])


def _scores(trials: int) -> Floats:
    """Normal scores of ranks, best first."""
    normal = NormalDist()
    return np.array([normal.inv_cdf(1 - (place + 0.5) / trials) for place in range(trials)])
