"""The confusion matrix: which classes are taken for which."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from study.figures._style import INK, LARGE, NORMAL, SMALL, dress, figure, note, plain, png

WRITTEN, WRITTEN_SMALL = 12, 10
"""With more classes than this there is no room for numbers."""
COUNTED = 6
"""With more there is none for counts."""
LIGHT = 55  # per cent, from which the colour is light


def draw_confusion(axes: Axes, diagnostics: Mapping[str, Any], *, small: bool = False) -> None:
    """Draw events by true class and class they are taken as: per cent of the true class, and counts below.

    Args:
        axes: To draw on.
        diagnostics: Of a classification.
        small: Whether they are 200 pixels wide, without room for counts and a bar of colours.
    """
    matrix = diagnostics.get("confusion")
    dress(axes, "taken as", "true class", "confusion (%)" if small else "confusion (% of the true class)")
    axes.grid(False)
    if not matrix:
        note(axes, "no matrix of more\nthan 40 classes")
        return
    events = np.asarray(matrix, dtype=np.int64)
    total = events.sum(axis=1, keepdims=True)
    share = 100 * np.divide(events, total, out=np.zeros(events.shape), where=total > 0)
    image = axes.imshow(share, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    if len(events) <= (WRITTEN_SMALL if small else WRITTEN):
        _write(axes, events, share, small)
    if not small:
        _name_classes(axes, [plain(name) for name in diagnostics["classes"]])
        scale = axes.figure.colorbar(image, ax=axes, label="% of the true class")
        scale.ax.tick_params(labelsize=SMALL)


def confusion_png(diagnostics: Mapping[str, Any]) -> bytes:
    """The matrix alone."""
    drawn = figure(4.6)
    draw_confusion(drawn.subplots(), diagnostics)
    return png(drawn)


def _name_classes(axes: Axes, names: list[str]) -> None:
    steep = len(names) > 6 or max(map(len, names)) > 10
    axes.set_xticks(range(len(names)), names, rotation=30 if steep else 0, ha="right" if steep else "center")
    axes.set_yticks(range(len(names)), names)
    if not steep:
        axes.tick_params(axis="x", pad=8)
        for label in axes.get_xticklabels():
            label.set_verticalalignment("center")


def _write(axes: Axes, events: NDArray[np.int64], share: NDArray[np.float64], small: bool) -> None:
    count = len(events)
    size = LARGE if count <= 3 or (count == 4 and not small) else NORMAL if count <= COUNTED else SMALL
    whole = count > (4 if small else COUNTED)
    for row, column in np.ndindex(events.shape):
        text = f"{share[row, column]:.0f}" if whole else f"{share[row, column]:.1f}%"
        text = text if events[row].any() else "–"
        text += "" if small or count > COUNTED else f"\n{events[row, column]:,}"
        colour = "white" if share[row, column] < LIGHT else INK
        axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)
