"""What a regression's predictions are good for: predicted against true, residuals, resolution and bias."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives._binning import Counts, Floats, bin_of, jsonable, quantile_edges
from objectives._metrics import resolution_68

CELLS = 40
"""Of predicted against true, along each axis."""
BINS = 50
"""Of the residuals."""
WIDTHS = 5.0
"""Half widths of the central 68.27 % that the residuals are shown to, either side of their median."""
_CENTRAL = np.array([15.865, 50.0, 84.135])  # percent, as in objectives._metrics
_WIDTH_ERROR = 0.962
"""Standard deviation of half the central 68.27 % of n Gaussian values, times √n, in standard deviations."""


def regression(predicted: Floats, true: Floats, energies: Floats | None) -> dict[str, Any]:
    """Return the following as JSON. A residual is (predicted - true) / |true|; the response is 1 more.

    "plane": events by true and predicted value, `plane`. "residuals": their histogram, `residuals`.
    "response": `response` in bins of the true value. "response_by_energy": the same in bins of true energy, or None
    without energies or where they are the target. Each is None where there is no event to show.

    Args:
        predicted: (N,), finite, in target units.
        true: (N,), finite, in target units; events where it is 0 have no residual and are left out of it.
        energies: true, in MeV, (N,); those that are not finite are left out.
    """
    usable = true != 0
    relative = (predicted[usable] - true[usable]) / np.abs(true[usable])
    other = None if energies is None or np.allclose(energies, true, equal_nan=True) else energies[usable]
    return {
        "plane": plane(predicted, true),
        "residuals": residuals(relative),
        "response": response(relative, true[usable]),
        "response_by_energy": None if other is None else response(relative, other),
    }


def plane(predicted: Floats, true: Floats) -> dict[str, Any] | None:
    """Return "edges" (41,) in target units, the same for both axes, "counts" (40, 40) by true and predicted value.

    The edges span the central 99.8 % of both; "outside" is the number of events beyond.
    """
    if not len(true):
        return None
    both = np.stack([np.quantile(true, [0.001, 0.999]), np.quantile(predicted, [0.001, 0.999])])
    edges = np.linspace(*_spread(float(both[:, 0].min()), float(both[:, 1].max())), CELLS + 1)
    counts, _, _ = np.histogram2d(true, predicted, bins=(edges, edges))
    whole = counts.astype(np.int64)
    return {"edges": jsonable(edges), "counts": whole.tolist(), "outside": len(true) - int(whole.sum())}


def residuals(relative: Floats) -> dict[str, Any] | None:
    """Return "edges" (51,), "counts" (50,), "below" and "above": events beyond the edges; "median", "half_width".

    The half width is that of the central 68.27 %.
    """
    if not len(relative):
        return None
    low, middle, high = np.percentile(relative, _CENTRAL)
    half = (high - low) / 2
    edges = np.linspace(*_spread(float(middle - WIDTHS * half), float(middle + WIDTHS * half)), BINS + 1)
    counts, _ = np.histogram(relative, edges)
    return {
        "edges": jsonable(edges),
        "counts": counts.tolist(),
        "below": int(np.count_nonzero(relative < edges[0])),
        "above": int(np.count_nonzero(relative > edges[-1])),
        "median": jsonable(np.array([middle]))[0],
        "half_width": jsonable(np.array([half]))[0],
    }


def response(relative: Floats, values: Floats) -> dict[str, Any] | None:
    """Return bias and resolution in bins of `values` that hold about equally many events.

    "edges" (B + 1,) and "centres" (B,), the medians, in units of the values; "events" (B,); "bias" (B,): the median
    residual, with "bias_error" from the order statistics half a standard deviation of its rank either side;
    "resolution" (B,): half the width of the central 68.27 % of the response over its median, None where that is not
    above 0, with "resolution_error" as for Gaussian residuals.
    """
    known = np.isfinite(values) & np.isfinite(relative)
    if not known.any():
        return None
    relative, values = relative[known], values[known]
    edges = quantile_edges(values)
    bins = bin_of(values, edges)
    groups = [relative[bins == index] for index in range(len(edges) - 1)]
    centres = np.array([np.median(values[bins == index]) for index in range(len(groups))])
    widths = np.array([resolution_68(1 + group, np.ones(len(group))) for group in groups])
    counts = np.array([len(group) for group in groups])
    return {
        "edges": jsonable(edges),
        "centres": jsonable(centres),
        "events": counts.tolist(),
        "bias": jsonable(np.array([np.median(group) for group in groups])),
        "bias_error": jsonable(np.array([_median_error(group) for group in groups])),
        "resolution": jsonable(widths),
        "resolution_error": jsonable(_width_errors(widths, counts)),
    }


def _median_error(values: Floats) -> float:
    if len(values) < 2:
        return np.nan
    shift = min(0.5, 0.5 / np.sqrt(len(values)))  # the standard deviation of a median's rank, as a fraction
    low, high = np.quantile(values, [0.5 - shift, 0.5 + shift])
    return float(high - low) / 2


def _width_errors(widths: Floats, counts: Counts) -> NDArray[np.float64]:
    return np.where(counts > 1, _WIDTH_ERROR * widths / np.sqrt(counts), np.nan)


def _spread(low: float, high: float) -> tuple[float, float]:
    """Return the ends, apart: equal ones half a unit, or a few per cent, either side."""
    if high - low > 1e-9 * max(abs(low), abs(high)):
        return low, high
    apart = 0.05 * abs(low) or 0.5
    return low - apart, high + apart
