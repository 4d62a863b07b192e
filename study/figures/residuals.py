"""Relative residuals of a regression."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from study.figures._style import COLOURS, FAINT, INK, NORMAL, SMALL, dress, figure, legend, note, number, numbers, png


def draw_residuals(axes: Axes, diagnostics: Mapping[str, Any]) -> None:
    """Draw the histogram of (predicted - true) / |true|, its median and its central 68.27 %."""
    dress(axes, "relative residual (predicted - true) / |true|", "events")
    found = diagnostics.get("residuals")
    if not found:
        note(axes, "no event has a true value other than 0")
        return
    edges, counts = numbers(found["edges"]), numbers(found["counts"])
    median, half = number(found["median"]), number(found["half_width"])
    beyond = found["below"] + found["above"]
    axes.axvspan(median - half, median + half, color=COLOURS[5], alpha=0.25, label=f"median ± half width {half:.3g}")
    axes.stairs(counts, edges, color=COLOURS[0], linewidth=1.8, label=f"events ({beyond:,} beyond the edges)")
    axes.axvline(median, color=COLOURS[1], linestyle="--", label=f"median {median:+.3g}")
    axes.axvline(0, color=FAINT, linestyle=":")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, 1.5 * max(1.0, float(counts.max())))
    legend(axes, loc="upper left")
    above = axes.secondary_xaxis("top", functions=(_response, _residual))
    above.set_xlabel("response predicted / true", fontsize=NORMAL, color=INK)
    above.tick_params(labelsize=SMALL, labelcolor=INK)
    above.spines["top"].set_color(FAINT)


def residuals_png(diagnostics: Mapping[str, Any]) -> bytes:
    """The histogram alone."""
    drawn = figure()
    draw_residuals(drawn.subplots(), diagnostics)
    return png(drawn)


def _response(residual: Any) -> Any:
    return residual + 1


def _residual(response: Any) -> Any:
    return response - 1
