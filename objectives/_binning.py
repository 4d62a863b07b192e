"""Bins of equal content, and the errors of fractions counted in them."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

MOST_BINS = 10
FEWEST_EVENTS = 30
"""A bin with fewer has an error that hides what is in it."""


def quantile_edges(values: Floats, *, most: int = MOST_BINS, fewest: int = FEWEST_EVENTS) -> Floats:
    """Return the ascending edges of bins that hold about equally many of the values.

    Edges are values, so that no bin is empty; equal values share a bin, so there may be fewer bins than `most`.

    Args:
        values: finite, (N,), N at least 1.
        most: the largest number of bins.
        fewest: events per bin; with fewer than twice as many in all there is one bin.
    """
    bins = int(np.clip(len(values) // fewest, 1, most))
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1), method="lower"))
    return edges if len(edges) > 1 else np.array([edges[0] - 0.5, edges[0] + 0.5])


def bin_of(values: Floats, edges: Floats) -> Counts:
    """Return the index of each value's bin, (N,); the last bin holds its upper edge, and outliers go to the ends."""
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2).astype(np.int64)


def wilson(passed: Counts, events: Counts, *, sigmas: float = 1.0) -> tuple[Floats, Floats]:
    """Return the lower and upper ends of Wilson's interval of the fraction passed / events; NaN where events are 0.

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209. One sigma covers 68.27 %.
    """
    total = np.where(events > 0, events, np.nan).astype(np.float64)
    fraction = passed / total
    scale = 1 + sigmas**2 / total
    centre = (fraction + sigmas**2 / (2 * total)) / scale
    half = sigmas / scale * np.sqrt(fraction * (1 - fraction) / total + sigmas**2 / (4 * total**2))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def jsonable(values: Floats, digits: int = 6) -> list[float | None]:
    """Return the values rounded to so many significant digits; None for those that are not finite."""
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in values.tolist()]
