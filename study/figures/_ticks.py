"""Ticks drawn as plain text and lines: Matplotlib's own take ten times as long, which a dashboard waits for."""

from collections.abc import Sequence
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator

from study.figures._style import FAINT, INK, SMALL

STEPS = [1, 2, 2.5, 5, 10]
GAP = 0.03  # of the axes' height or width, between them and the text


def quick_ticks(axes: Axes, *, whole: bool = False, most: int = 5) -> int:
    """Replace the ticks of linear axes, whose limits must be final, by a grid and numbers.

    Args:
        axes: Those drawn on.
        whole: Whether x takes whole numbers only.
        most: Intervals along each axis.

    Returns:
        The letters of the longest number along y.
    """
    letters = 0
    for side, (low, high) in (("x", axes.get_xlim()), ("y", axes.get_ylim())):
        locator = MaxNLocator(most, steps=STEPS, integer=whole and side == "x", min_n_ticks=1)
        places = [float(place) for place in locator.tick_values(low, high) if low <= place <= high]
        _grid(axes, places, side == "x")
        labels = [f"{place:.6g}" for place in places]
        quick_labels(axes, places, labels, side="x" if side == "x" else "y")
        letters = max(map(len, labels), default=0)
    return letters


def quick_labels(
    axes: Axes, places: Sequence[float], labels: Sequence[str], *, side: Literal["x", "y"], upright: bool = False
) -> None:
    """Replace the ticks of one side by these texts; `upright` turns them by 90 degrees."""
    axis = axes.xaxis if side == "x" else axes.yaxis
    axis.set_ticks([])
    rotation = 90 if upright else 0
    for place, label in zip(places, labels, strict=True):
        if side == "x":
            axes.text(
                place, -GAP, label, transform=axes.get_xaxis_transform(), ha="center", va="top", **_look(rotation)
            )
        else:
            where = axes.get_yaxis_transform()
            axes.text(-GAP, place, label, transform=where, ha="right", va="center", **_look(rotation))


def _look(rotation: float) -> dict[str, Any]:
    return {"fontsize": SMALL, "color": INK, "rotation": rotation}


def _grid(axes: Axes, places: Sequence[float], vertical: bool) -> None:
    ends = [((place, 0), (place, 1)) if vertical else ((0, place), (1, place)) for place in places]
    transform = axes.get_xaxis_transform() if vertical else axes.get_yaxis_transform()
    axes.add_collection(
        LineCollection(ends, colors="#E4E4E4", linewidths=0.8, transform=transform, zorder=0.5), autolim=False
    )
    axes.spines["left" if vertical else "bottom"].set_color(FAINT)
