"""Plots of the best trial's diagnostics on the validation events."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from objectives._roc import Roc, stored_roc
from study.board._plotly import COLOURS, Plot, line, numbers, plot


def confusion_matrix(diagnostics: Mapping[str, Any], title: str) -> Plot | None:
    """The share of each true class that is taken for each class, with the numbers of events."""
    counts, classes = diagnostics.get("confusion"), diagnostics.get("classes")
    if not counts or not classes:
        return None
    shares = [numbers(100 * count / max(1, sum(row)) for count in row) for row in counts]
    cells = {
        "type": "heatmap",
        "x": classes,
        "y": classes,
        "z": shares,
        "text": [[f"{count:,}" for count in row] for row in counts],
        "texttemplate": "%{z:.1f} %<br>%{text}",
        "colorscale": "Cividis",
        "zmin": 0,
        "zmax": 100,
        "colorbar": {"title": {"text": "% of true class"}},
    }
    axis = {"type": "category"}
    return plot(
        f"Confusion matrix {title}",
        "taken for",
        "true class",
        [cells],
        xaxis=axis,
        yaxis=axis | {"autorange": "reversed"},
    )


def roc_curve(diagnostics: Mapping[str, Any], title: str) -> Plot | None:
    """Signal against background efficiency of the default pair of classes."""
    roc = _default_roc(diagnostics)
    if roc is None:
        return None
    name = f"AUC {roc.auc:.4f}" if roc.auc is not None else "AUC undefined"
    curve = line(name, numbers(roc.background_efficiency), roc.signal_efficiency, line={"color": COLOURS[0]})
    diagonal = line("chance", [0, 1], [0, 1], line={"color": COLOURS[6], "dash": "dot"})
    x, y = f"{roc.background} efficiency", f"{roc.signal} efficiency"
    return plot(f"ROC: {roc.signal} against {roc.background} {title}", x, y, [curve, diagonal])


def rejection(diagnostics: Mapping[str, Any], title: str) -> Plot | None:
    """Background rejection against signal efficiency of the default pair of classes."""
    roc = _default_roc(diagnostics)
    if roc is None or not roc.measured.any():
        return None
    signal, value, low, high = roc.rejection()
    x = numbers(signal)
    band = {"mode": "lines", "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"}
    traces = [
        line("", x, low, **band),
        line(
            "68 % interval",
            x,
            high,
            **band | {"fill": "tonexty", "fillcolor": "rgba(0,114,178,0.2)", "showlegend": True},
        ),
        line("rejection", x, value, line={"color": COLOURS[0]}),
    ]
    labels = f"{roc.signal} efficiency", f"{roc.background} rejection 1/ε"
    return plot(f"Rejection of {roc.background} against efficiency {title}", *labels, traces, yaxis={"type": "log"})


def response_histograms(diagnostics: Mapping[str, Any], title: str) -> Plot | None:
    """The probability of the signal by true class, or the residuals of a regression."""
    if diagnostics.get("kind") == "regression":
        return _residuals(diagnostics, title)
    tables, classes = diagnostics.get("probabilities"), diagnostics.get("classes")
    if not tables or not classes:
        return None
    signal = classes.index(diagnostics["default_pair"][0])
    bins = len(tables[signal][0])
    centres = [(index + 0.5) / bins for index in range(bins)]
    traces = []
    for index, (name, counts) in enumerate(zip(classes, tables[signal], strict=True)):
        shape = {"color": COLOURS[index % len(COLOURS)], "shape": "hvh", "dash": ("solid", "dash", "dot")[index % 3]}
        traces.append(line(f"true {name}", centres, (count / max(1, sum(counts)) for count in counts), line=shape))
    title = f"Response: probability of {classes[signal]} {title}"
    return plot(title, f"probability of {classes[signal]}", "share of the class's events", traces)


def _residuals(diagnostics: Mapping[str, Any], title: str) -> Plot | None:
    found = diagnostics.get("residuals")
    if not found:
        return None
    edges = found["edges"]
    centres = [(low + high) / 2 for low, high in pairwise(edges)]
    bars = {
        "type": "bar",
        "x": numbers(centres),
        "y": found["counts"],
        "marker": {"color": COLOURS[0]},
        "name": "events",
    }
    return plot(f"Response: relative residuals {title}", "(predicted − true) / true", "events", [bars], bargap=0)


def _default_roc(diagnostics: Mapping[str, Any]) -> Roc | None:
    pair = diagnostics.get("default_pair")
    return stored_roc(diagnostics.get("roc") or [], *pair) if pair else None
