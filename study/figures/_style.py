"""How all figures look: colours told apart by colour-blind readers, sizes readable at 800 pixels, and bytes of PNG.

Colours: M. Okabe and K. Ito, "Color universal design", 2008.
"""

import io
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C7A00")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1)), (0, (3, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK, FAINT = "#222222", "#767676"
SMALL, NORMAL, LARGE = 9, 10, 11  # points
DPI = 100
WIDTH = 8.0  # inches: 800 pixels
LONGEST_NAME = 22  # characters

ENERGY = "true energy (MeV)"


def figure(height: float = 4.2, width: float = WIDTH) -> Figure:
    """An empty figure, in inches; its layout leaves room for all labels."""
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)  # inches
    made = Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")
    FigureCanvasAgg(made)
    return made


def png(drawn: Figure) -> bytes:
    """The figure as a PNG of 100 pixels per inch."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def dress(axes: Axes, x: str, y: str, title: str = "") -> None:
    """Label the axes, with a light grid behind what is drawn."""
    axes.set_xlabel(x, fontsize=NORMAL, color=INK)
    axes.set_ylabel(y, fontsize=NORMAL, color=INK)
    axes.set_title(title, fontsize=LARGE, color=INK, y=1.0)  # a place of its own choice takes Matplotlib long to find
    axes.tick_params(labelsize=SMALL, color=FAINT, labelcolor=INK)
    axes.grid(True, color="#E4E4E4", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)


def whole_ticks(axes: Axes) -> None:
    """Ticks along x at whole numbers only."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))


def note(axes: Axes, text: str) -> None:
    """Say in the middle of empty axes why they are empty."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=NORMAL, color=FAINT)


def legend(axes: Axes, **options: Any) -> None:
    """A legend where it hides the least, if there is anything to name."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=SMALL, framealpha=0.85, edgecolor="#CCCCCC", **{"loc": "best", **options})


def plain(text: object) -> str:
    """Text of a user as it is: cut to 22 characters, and no mathematics between dollars."""
    shown = str(text)
    shown = shown if len(shown) <= LONGEST_NAME else shown[: LONGEST_NAME - 1] + "…"
    return escaped(shown)


def escaped(text: str) -> str:
    """Text without mathematics between dollars, nor a first underscore, which hides it from legends."""
    safe = text.replace("$", r"\$")
    return " " + safe if safe.startswith("_") else safe


def numbers(values: Iterable[Any]) -> NDArray[np.float64]:
    """Numbers with NaN for whatever is none."""
    return np.array([number(value) for value in values], dtype=np.float64)


def number(value: Any) -> float:
    """The finite number, else NaN."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else math.nan


def target_label(diagnostics: Mapping[str, Any], what: str) -> str:
    """Such as "true energies (MeV)"; the target's name and unit are in "target" where they are known."""
    target = diagnostics.get("target") or {}
    unit = f" ({target['unit']})" if target.get("unit") else ""
    return f"{what} {plain(target.get('name') or 'value')}{unit}"
