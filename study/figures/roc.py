"""The ROC curve of a signal and a background class."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from objectives._roc import Roc
from study.figures._style import COLOURS, FAINT, dress, figure, legend, note, plain, png

Floats = NDArray[np.float64]

TRUSTED = 10
"""Background events that must pass a cut: with fewer, what is read from it is chance."""


def draw_roc(axes: Axes, roc: Roc) -> None:
    """Draw signal efficiency against background efficiency, with the area under it."""
    signal, background = plain(roc.signal), plain(roc.background)
    dress(axes, rf"background efficiency $\epsilon_b$ ({background})", rf"signal efficiency $\epsilon_s$ ({signal})")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.02)
    if roc.auc is None:
        note(axes, missing(roc))
        return
    label = f"{signal} against {background}: AUC {roc.auc:.4f}"
    axes.plot(roc.background_efficiency, roc.signal_efficiency, color=COLOURS[0], linewidth=2, label=label)
    axes.plot([0, 1], [0, 1], color=FAINT, linestyle=":", label="guessing: AUC 0.5")
    legend(axes, loc="lower right")


def roc_png(roc: Roc) -> bytes:
    """The curve alone."""
    drawn = figure(4.6)
    draw_roc(drawn.subplots(), roc)
    return png(drawn)


def draw_trusted(axes: Axes, x: Floats, y: Floats, trusted: NDArray[np.bool_], colour: str, label: str) -> None:
    """Draw a curve, thin and dotted where so few background events pass that it is chance."""
    axes.plot(x, y, color=colour, linestyle=":", linewidth=1.2)
    axes.plot(x, np.where(trusted, y, np.nan), color=colour, linewidth=2, label=label)


def missing(roc: Roc) -> str:
    """Why there is no curve."""
    absent = plain(roc.signal if not roc.signal_events else roc.background)
    return f"no event is of class {absent}"
