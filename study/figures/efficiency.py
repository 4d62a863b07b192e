"""How often each class is told right, against true energy."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from study.figures._style import (
    COLOURS,
    ENERGY,
    INK,
    LINES,
    MARKERS,
    NORMAL,
    dress,
    figure,
    legend,
    note,
    numbers,
    plain,
    png,
)

SHOWN = 8
"""Classes that are drawn: those with the most events."""


def draw_efficiency(axes: Axes, diagnostics: Mapping[str, Any]) -> None:
    """Draw the fraction that is right of each class by bin of energy, with Wilson's interval of one sigma."""
    dress(axes, ENERGY, "fraction told right")
    axes.set_ylim(0, 1.25)
    axes.set_yticks(np.linspace(0, 1, 6))
    found = diagnostics.get("efficiency")
    if not found:
        note(axes, "no energies are known")
        return
    centres, edges = numbers(found["centres"]), numbers(found["edges"])
    shown = sorted(range(len(found["events"])), key=lambda index: -sum(found["events"][index]))[:SHOWN]
    width = np.diff(edges)
    for place, index in enumerate(sorted(shown)):
        value, low, high = (numbers(found[key][index]) for key in ("efficiency", "low", "high"))
        if np.isnan(value).all():
            continue
        shift = 0.08 * width * (place - (len(shown) - 1) / 2)  # so that error bars do not hide each other
        axes.errorbar(
            np.clip(centres + shift, edges[:-1], edges[1:]),
            value,
            yerr=np.clip([value - low, high - value], 0, None),
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            linestyle=LINES[index % len(LINES)],
            linewidth=1.2,
            markersize=5,
            capsize=2,
            label=plain(diagnostics["classes"][index]),
        )
    if len(shown) < len(found["events"]):
        axes.set_title(f"the {SHOWN} classes with the most events", fontsize=NORMAL, color=INK)
    legend(axes, loc="upper center", ncols=4)


def efficiency_png(diagnostics: Mapping[str, Any]) -> bytes:
    """The efficiencies alone."""
    drawn = figure()
    draw_efficiency(drawn.subplots(), diagnostics)
    return png(drawn)
