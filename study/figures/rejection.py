"""Background rejection against signal efficiency."""

from matplotlib.axes import Axes

from objectives._roc import Roc
from study.figures._style import COLOURS, FAINT, dress, figure, legend, note, plain, png
from study.figures.roc import TRUSTED, draw_trusted, missing


def draw_rejection(axes: Axes, roc: Roc) -> None:
    """Draw 1 / ε_b against ε_s, with the one-sigma interval of the background events that pass."""
    signal, background = plain(roc.signal), plain(roc.background)
    dress(axes, rf"signal efficiency $\epsilon_s$ ({signal})", rf"background rejection $1/\epsilon_b$ ({background})")
    axes.set_xlim(0, 1.01)
    if not roc.measured.any():
        note(axes, missing(roc) if roc.auc is None else "no background event passes any cut")
        return
    efficiency, rejection, low, high = roc.rejection()
    axes.fill_between(efficiency, low, high, color=COLOURS[0], alpha=0.2, linewidth=0, label="one sigma (Wilson)")
    trusted = roc.background_passing[roc.measured] >= TRUSTED
    label = f"{signal} against {background} (dotted: fewer than {TRUSTED} events of it)"
    draw_trusted(axes, efficiency, rejection, trusted, COLOURS[0], label)
    limit = roc.background_events
    label = f"limit: 1 of {limit:,} background events"
    axes.axhline(limit, color=FAINT, linestyle=":", label=label)
    axes.set_yscale("log")
    axes.set_ylim(0.8, 3 * max(limit, 1))
    legend(axes, loc="best" if limit < 5 else "lower left")


def rejection_png(roc: Roc) -> bytes:
    """The curve alone."""
    drawn = figure()
    draw_rejection(drawn.subplots(), roc)
    return png(drawn)
