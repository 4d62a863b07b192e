"""Predicted against true value."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from study.figures._style import COLOURS, SMALL, dress, figure, legend, note, numbers, png, target_label


def draw_truth(axes: Axes, diagnostics: Mapping[str, Any], *, bar: bool = True) -> None:
    """Draw the events by true and predicted value, on a logarithmic scale of colours, with the diagonal."""
    dress(axes, target_label(diagnostics, "true"), target_label(diagnostics, "predicted"), "predicted against true")
    plane = diagnostics.get("plane")
    if not plane:
        note(axes, "no events")
        return
    edges = numbers(plane["edges"])
    counts = np.asarray(plane["counts"], dtype=np.float64).T  # rows are y, the predicted value
    shown = np.ma.masked_less(counts, 0.5)
    image = axes.pcolormesh(edges, edges, shown, cmap="viridis", norm=LogNorm(1, max(2.0, float(counts.max()))))
    axes.plot(edges[[0, -1]], edges[[0, -1]], color=COLOURS[1], linestyle="--", linewidth=1.3, label="equal")
    if bar:
        scale = axes.figure.colorbar(image, ax=axes, label="events")
        scale.ax.tick_params(labelsize=SMALL)
    legend(axes, loc="upper left")


def truth_png(diagnostics: Mapping[str, Any]) -> bytes:
    """The plane alone."""
    drawn = figure(4.8)
    draw_truth(drawn.subplots(), diagnostics)
    return png(drawn)
