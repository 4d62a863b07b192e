"""Plots as plotly's JSON, which the dashboard's own plotly draws; plotly itself is not needed to write them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Plot = dict[str, Any]
"""``data``, a list of traces, and ``layout``."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C7A00")
"""M. Okabe and K. Ito, "Color universal design", 2008."""
FAINT = "#9AA0A6"


def plot(title: str, x: str, y: str, traces: Sequence[Mapping[str, Any]], **layout: Any) -> Plot:
    """A plot with labelled axes.

    Args:
        layout: Further keys of plotly's layout; ``xaxis`` and ``yaxis`` add to the labels.
    """
    axes = {name: {"title": {"text": label}} | layout.pop(name, {}) for name, label in (("xaxis", x), ("yaxis", y))}
    return {"data": list(traces), "layout": {"title": {"text": title}, **axes, **layout}}


def line(name: str, x: Iterable[Any], y: Iterable[float | None], **more: Any) -> dict[str, Any]:
    """A line through points; None interrupts it."""
    return {"type": "scatter", "mode": "lines", "name": name, "x": list(x), "y": numbers(y)} | more


def points(name: str, x: Iterable[Any], y: Iterable[float | None], **more: Any) -> dict[str, Any]:
    """Points without a line."""
    return {"type": "scatter", "mode": "markers", "name": name, "x": list(x), "y": numbers(y)} | more


def numbers(values: Iterable[float | None]) -> list[float | None]:
    """Five digits of each, which no eye sees more of; None for what is not finite."""
    return [float(f"{value:.5g}") if value is not None and math.isfinite(value) else None for value in values]
