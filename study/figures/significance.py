"""What a cut gains in significance, against signal efficiency."""

import numpy as np
from matplotlib.axes import Axes

from objectives._roc import Roc
from study.figures._style import COLOURS, FAINT, dress, figure, legend, note, plain, png
from study.figures.roc import TRUSTED, draw_trusted, missing


def draw_significance(axes: Axes, roc: Roc) -> None:
    """Draw ε_s / √ε_b against ε_s, with the one-sigma interval of ε_b, and the largest gain that is no chance.

    The axis ends above the part that is no chance.
    """
    signal = plain(roc.signal)
    dress(axes, rf"signal efficiency $\epsilon_s$ ({signal})", r"significance gain $\epsilon_s/\sqrt{\epsilon_b}$")
    axes.set_xlim(0, 1.01)
    if not roc.measured.any():
        note(axes, missing(roc) if roc.auc is None else "no background event passes any cut")
        return
    efficiency, gain, low, high = roc.significance()
    trusted = roc.background_passing[roc.measured] >= TRUSTED
    axes.fill_between(efficiency, low, high, color=COLOURS[2], alpha=0.2, linewidth=0, label="one sigma (Wilson)")
    label = f"{signal} against {plain(roc.background)}"
    draw_trusted(axes, efficiency, gain, trusted, COLOURS[2], label)
    axes.axhline(1, color=FAINT, linestyle=":", label="no cut")
    if trusted.any():
        best = int(np.argmax(np.where(trusted, gain, -np.inf)))
        label = rf"largest with ≥ {TRUSTED} background events: {gain[best]:.2f} at {efficiency[best]:.2f}"
        axes.plot([efficiency[best]], [gain[best]], marker="D", color=COLOURS[1], linestyle="", label=label)
    shown = high[trusted] if trusted.any() else gain
    axes.set_ylim(0, 1.5 * max(float(shown.max()), 1))
    legend(axes, loc="upper right", ncols=2)


def significance_png(roc: Roc) -> bytes:
    """The curve alone."""
    drawn = figure()
    draw_significance(drawn.subplots(), roc)
    return png(drawn)
