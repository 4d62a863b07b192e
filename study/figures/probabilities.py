"""The predicted probability of each class, by true class."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from study.figures._style import COLOURS, LINES, dress, figure, legend, note, plain, png

COLUMNS = 3
LARGEST = 4.0
"""Above a fraction of 1 the axis goes on so far, for a legend."""


def draw_probabilities(axes: Axes, diagnostics: Mapping[str, Any], index: int) -> None:
    """Draw the probability of the class of an index as a histogram for each true class, each of area 1 in all bins."""
    names = diagnostics["classes"]
    dress(axes, f"p({plain(names[index])})", "fraction of events", "")
    counts = np.asarray(diagnostics["probabilities"][index], dtype=np.float64)
    edges = np.linspace(0, 1, counts.shape[1] + 1)
    drawn = []
    for true, row in enumerate(counts):
        if row.sum():
            curve = axes.stairs(row / row.sum(), edges, baseline=None, label=f"true {plain(names[true])}")
            curve.set(edgecolor=COLOURS[true % len(COLOURS)], linestyle=LINES[true % len(LINES)], linewidth=1.8)
            drawn.append(row[row > 0].min() / row.sum())
    axes.set_xlim(0, 1)
    if not drawn:
        note(axes, "no events")
        return
    axes.set_yscale("log")
    axes.set_ylim(max(min(drawn) / 2, 1e-6), LARGEST)


def probabilities_png(diagnostics: Mapping[str, Any]) -> bytes:
    """A panel for each class; of two classes one says it all."""
    if not diagnostics.get("probabilities"):
        drawn = figure(2.5)
        note(drawn.subplots(), "there are no histograms of more than 10 classes")
        return png(drawn)
    count = len(diagnostics["classes"])
    shown = [1] if count == 2 else list(range(count))
    columns = min(COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    drawn = figure(0.5 + (3.6 if columns == 1 else 2.9) * rows)
    panels = drawn.subplots(rows, columns, squeeze=False).ravel()
    for axes, index in zip(panels, shown, strict=False):
        draw_probabilities(axes, diagnostics, index)
        if index != shown[0] and panels.tolist().index(axes) % columns:
            axes.set_ylabel("")
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    if count == 2:
        legend(panels[0], loc="upper center", ncols=2)
    elif handles:
        drawn.legend(handles, labels, loc="outside upper center", ncols=5, fontsize=9, frameon=False)
    return png(drawn)
