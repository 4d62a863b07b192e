"""One picture of a trial, for a dashboard."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from study.figures._style import DPI, INK, LARGE, SMALL, escaped, note, number, plain, png
from study.figures._ticks import quick_labels, quick_ticks
from study.figures.confusion import draw_confusion
from study.figures.curves import draw_losses, draw_metric
from study.figures.truth import draw_truth

SIZE = (8.0, 3.3)  # inches: 800 × 330 pixels
ROOM = 24
"""Letters beside a side of the matrix."""
LONGEST_STUDY = 40  # characters


def trial_report(record: Mapping[str, Any]) -> bytes:
    """A PNG 800 pixels wide: loss, metric, and confusion matrix or predicted against true, below a line of title.

    Args:
        record: "study", "trial", "state", "metric", "value" (of the metric at the best epoch, or None), "best_epoch"
            (or None), "history" (a mapping per epoch as `EpochResult.to_json` gives it) and "diagnostics" (as
            `diagnostics` gives them, or None). What is missing is left out of the picture.
    """
    drawn = Figure(figsize=SIZE, dpi=DPI, facecolor="white")
    FigureCanvasAgg(drawn)
    diagnostics = record.get("diagnostics")
    panels = drawn.subplots(1, 3 if diagnostics else 2, squeeze=False)[0]
    drawn.subplots_adjust(left=0.065, right=0.985, top=0.77, bottom=0.15, wspace=0.3)
    history, best = record.get("history") or [], record.get("best_epoch")
    metric = str(record.get("metric") or "metric")
    draw_losses(panels[0], history, best_epoch=best, named=False)
    draw_metric(panels[1], history, metric, best_epoch=best)
    for axes in panels[:2]:
        axes.set_ylabel("")
        if axes.lines:
            quick_ticks(axes, whole=True)
    if diagnostics:
        _draw_last(panels[2], diagnostics)
    for axes in panels:
        axes.xaxis.set_label_coords(0.5, -0.13)
    handles, labels = panels[0].get_legend_handles_labels()
    if labels:
        drawn.legend(handles, labels, loc=(0.005, 0.855), ncols=4, fontsize=SMALL, frameon=False)
    drawn.text(0.012, 0.955, _title(record, metric), fontsize=LARGE, color=INK, va="center", weight="bold")
    return png(drawn)


def _title(record: Mapping[str, Any], metric: str) -> str:
    value = number(record.get("value"))
    shown = "no value" if np.isnan(value) else f"{plain(metric)} {value:.4f}"
    best = f" at epoch {record['best_epoch']}" if record.get("best_epoch") and not np.isnan(value) else ""
    study = str(record.get("study", ""))
    study = study if len(study) <= LONGEST_STUDY else study[: LONGEST_STUDY - 1] + "…"
    return f"{escaped(study)}  ·  trial {record.get('trial', '?')}  ·  {record.get('state', '')}  ·  {shown}{best}"


def _draw_last(axes: Axes, diagnostics: Mapping[str, Any]) -> None:
    if diagnostics.get("kind") == "classification":
        draw_confusion(axes, diagnostics, small=True)
        if diagnostics.get("confusion"):
            _name_classes(axes, diagnostics["classes"])
    elif diagnostics.get("kind") == "regression":
        draw_truth(axes, diagnostics, bar=False)
        if diagnostics.get("plane"):
            letters = quick_ticks(axes, most=4)
            axes.yaxis.set_label_coords(-0.08 - 0.03 * letters, 0.5)
    else:
        axes.set_axis_off()
        note(axes, "no diagnostics\nfor this task")


def _name_classes(axes: Axes, classes: Sequence[str]) -> None:
    """Write the classes' names, cut to fit, or their numbers where they are many."""
    letters = ROOM // len(classes)
    if letters < 3:
        step = -(-len(classes) // 8)
        places = list(range(0, len(classes), step))
        names = [str(place) for place in places]
    else:
        places = list(range(len(classes)))
        names = [escaped(name if len(name) <= letters else name[: letters - 1] + "…") for name in classes]
    quick_labels(axes, places, names, side="x")
    quick_labels(axes, places, names, side="y", upright=letters >= 3)
    axes.yaxis.set_label_coords(-0.13, 0.5)
