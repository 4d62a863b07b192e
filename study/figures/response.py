"""Resolution and bias of a regression, in bins of the true value or of the energy."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from study.figures._style import COLOURS, ENERGY, FAINT, dress, figure, note, numbers, png, target_label

By = str
"""Which bins: "response" of true values, or "response_by_energy"."""


def draw_resolution(axes: Axes, diagnostics: Mapping[str, Any], by: By = "response") -> None:
    """Draw half the width of the central 68.27 % of predicted / true over its median, in per cent."""
    dress(axes, _along(diagnostics, by), "resolution (%)", "resolution: half central 68.27 % width")
    if _drawn(axes, diagnostics.get(by), "resolution", COLOURS[0], "o"):
        axes.set_ylim(bottom=0)


def draw_bias(axes: Axes, diagnostics: Mapping[str, Any], by: By = "response") -> None:
    """Draw the median of predicted / true less 1, in per cent."""
    dress(axes, _along(diagnostics, by), "bias (%)", "bias: median response - 1")
    if _drawn(axes, diagnostics.get(by), "bias", COLOURS[1], "s"):
        axes.axhline(0, color=FAINT, linestyle=":")


def response_png(diagnostics: Mapping[str, Any], by: By = "response") -> bytes:
    """Resolution and bias side by side."""
    drawn = figure(3.8)
    left, right = drawn.subplots(1, 2)
    draw_resolution(left, diagnostics, by)
    draw_bias(right, diagnostics, by)
    return png(drawn)


def _along(diagnostics: Mapping[str, Any], by: By) -> str:
    return ENERGY if by == "response_by_energy" else target_label(diagnostics, "true")


def _drawn(axes: Axes, found: Mapping[str, Any] | None, key: str, colour: str, marker: str) -> bool:
    if not found:
        note(axes, "no events")
        return False
    centres, edges, value = numbers(found["centres"]), numbers(found["edges"]), 100 * numbers(found[key])
    error = 100 * np.nan_to_num(numbers(found[f"{key}_error"]))
    if np.isnan(value).all():
        note(axes, "undefined: the median response is not above 0")
        return False
    across = np.clip([centres - edges[:-1], edges[1:] - centres], 0, None)
    axes.errorbar(
        centres, value, yerr=error, xerr=across, color=colour, marker=marker, linestyle="", markersize=5, capsize=2
    )
    axes.margins(y=0.15)
    return True
