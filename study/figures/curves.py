"""Learning curves: the losses and a metric, epoch by epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from objectives._overtraining import overtraining
from study.figures._style import (
    COLOURS,
    FAINT,
    SMALL,
    dress,
    figure,
    legend,
    note,
    number,
    numbers,
    plain,
    png,
    whole_ticks,
)

History = Sequence[Mapping[str, Any]]


def draw_losses(axes: Axes, history: History, *, best_epoch: int | None = None, named: bool = True) -> None:
    """Draw training and validation loss against the epoch, the best epoch and where overtraining sets in.

    Args:
        axes: To draw on.
        history: A mapping per epoch, as `EpochResult.to_json` gives it.
        best_epoch: The one whose weights are kept.
        named: Whether there is a legend in the axes.
    """
    dress(axes, "epoch", "loss (mean per event)", "loss")
    epochs = numbers(item.get("epoch") for item in history)
    for key, label, style, marker, colour in (
        ("training_loss", "training", "--", "o", COLOURS[0]),
        ("validation_loss", "validation", "-", "s", COLOURS[1]),
    ):
        values = numbers(item.get(key) for item in history)
        _line(axes, epochs, values, label, style, marker, colour)
    _finish(axes, epochs, best_epoch)
    onset = overtraining(history)
    if onset is not None:
        axes.axvspan(onset, float(np.nanmax(epochs)), color=COLOURS[4], alpha=0.12, label=f"overtrained from {onset}")
    if named:
        legend(axes)


def draw_metric(axes: Axes, history: History, metric: str, *, best_epoch: int | None = None) -> None:
    """Draw a metric of the validation events against the epoch."""
    dress(axes, "epoch", plain(metric), f"validation {plain(metric)}")
    epochs = numbers(item.get("epoch") for item in history)
    values = numbers((item.get("metrics") or {}).get(metric) for item in history)
    _line(axes, epochs, values, "validation", "-", "s", COLOURS[2])
    _finish(axes, epochs, best_epoch)
    _mark_best(axes, epochs, values, best_epoch)


def curves_png(history: History, metric: str, *, best_epoch: int | None = None) -> bytes:
    """Losses and metric side by side."""
    drawn = figure(3.8)
    left, right = drawn.subplots(1, 2)
    draw_losses(left, history, best_epoch=best_epoch, named=False)
    draw_metric(right, history, metric, best_epoch=best_epoch)
    handles, labels = left.get_legend_handles_labels()
    if labels:
        drawn.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=SMALL, frameon=False)
    return png(drawn)


def _line(axes: Axes, epochs: Any, values: Any, label: str, style: str, marker: str, colour: str) -> None:
    if np.isfinite(values).any():
        size = 4.5 if len(epochs) <= 40 else 0
        axes.plot(epochs, values, linestyle=style, marker=marker, markersize=size, color=colour, label=label)


def _finish(axes: Axes, epochs: Any, best_epoch: int | None) -> None:
    whole_ticks(axes)
    axes.margins(y=0.12)
    if not axes.lines:
        note(axes, "no epoch is recorded" if not len(epochs) else "undefined at every epoch")
    elif best_epoch is not None:
        axes.axvline(best_epoch, color=FAINT, linestyle=":", linewidth=1.5, label=f"best epoch, {best_epoch}")


def _mark_best(axes: Axes, epochs: Any, values: Any, best_epoch: int | None) -> None:
    for epoch, value in zip(epochs, values, strict=True):
        if epoch == best_epoch and not np.isnan(number(float(value))):
            axes.plot(
                [epoch], [value], marker="o", markersize=11, markerfacecolor="none", markeredgecolor=FAINT, linestyle=""
            )
