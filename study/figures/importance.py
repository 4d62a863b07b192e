"""Which hyperparameters mattered: a bar for each, faint where it cannot be told from chance."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from study.figures._style import COLOURS, FAINT, SMALL, dress, figure, legend, note, numbers, plain, png

MOST = 15
"""Bars."""


def draw_importance(axes: Axes, parameters: Sequence[Mapping[str, Any]]) -> None:
    """Draw the shares with their standard deviations, the first on top.

    Args:
        parameters: As `ParameterImportance`, in JSON types.
    """
    dress(axes, "share of PED-ANOVA's importance", "")
    shown = list(parameters)[:MOST][::-1]
    if not shown:
        note(axes, "too few trials")
        return
    for told, colour, label in ((True, COLOURS[0], "told from chance"), (False, "#C8C8C8", "not told from chance")):
        mine = [(place, one) for place, one in enumerate(shown) if bool(one["told"]) is told]
        if mine:
            shares, sigmas = numbers(one["share"] for _, one in mine), numbers(one["sigma"] for _, one in mine)
            places = [place for place, _ in mine]
            axes.barh(places, shares, color=colour, label=label, height=0.7)
            axes.errorbar(shares, places, xerr=sigmas, fmt="none", ecolor=FAINT, elinewidth=1.2, capsize=2)
    axes.set_yticks(range(len(shown)), [plain(one["name"]) for one in shown], fontsize=SMALL)
    axes.set_xlim(0, None)
    axes.grid(False, axis="y")
    legend(axes, loc="lower right")


def importance_png(parameters: Sequence[Mapping[str, Any]]) -> bytes:
    """The bars alone."""
    drawn = figure(height=1.2 + 0.28 * min(MOST, max(3, len(parameters))))
    draw_importance(drawn.subplots(), parameters)
    return png(drawn)
