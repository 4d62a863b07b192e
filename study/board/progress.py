"""Plots of the search: learning curves coloured by value, who worked when, and accuracy against cost."""

import math
from collections.abc import Sequence

from optuna.trial import TrialState

from objectives._task import Direction
from storage.history import TrialRow
from storage.tables import AttemptState
from storage.timeline import Spell
from study.board._plotly import COLOURS, FAINT, Plot, line, numbers, plot, points

MOST_CURVES = 60
"""The best trials and those that ended last, half each: more lines tell less, and each poll of the page sends all."""
MOST_POINTS = 400


def learning_curves(trials: Sequence[TrialRow], metric: str, direction: Direction) -> Plot | None:
    """The metric by epoch, one line per trial, coloured by the trial's best value."""
    chosen = _chosen([trial for trial in trials if trial.values], direction)
    if not chosen:
        return None
    finals = {trial.number: _best(trial, direction) for trial in chosen}
    known = [value for value in finals.values() if math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    traces = []
    for trial in sorted(chosen, key=lambda trial: _rank(finals[trial.number], direction), reverse=True):
        colour = _viridis((finals[trial.number] - low) / (high - low) if high > low else 1.0)
        label = f"trial {trial.number} ({trial.state.name.lower()})"
        more = {"line": {"color": colour, "width": 1.5}, "showlegend": False}
        traces.append(line(label, trial.values, trial.values.values(), **more))
    scale = {
        "cmin": low,
        "cmax": high,
        "color": [low],
        "colorscale": "Viridis",
        "colorbar": {"title": {"text": metric}},
    }
    traces.append(points("", [None], [None], marker=scale | {"showscale": True}, showlegend=False))
    return plot(f"Learning curves: {metric} by epoch", "epoch", metric, traces, hovermode="closest")


def _chosen(trials: Sequence[TrialRow], direction: Direction) -> list[TrialRow]:
    best = sorted(trials, key=lambda trial: _rank(_best(trial, direction), direction))[: MOST_CURVES // 2]
    last = sorted(trials, key=lambda trial: trial.number)[-(MOST_CURVES // 2) :]
    return list({trial.number: trial for trial in [*best, *last]}.values())


def _best(trial: TrialRow, direction: Direction) -> float:
    known = [value for value in trial.values.values() if math.isfinite(value)]
    return (max(known) if direction == "maximize" else min(known)) if known else math.nan


def _rank(value: float, direction: Direction) -> tuple[bool, float]:
    """Sorts the best first; what has no value last."""
    unknown = math.isnan(value)
    return unknown, 0.0 if unknown else -value if direction == "maximize" else value


def _viridis(share: float) -> str:
    """The colour at a place of the scale from 0 to 1; what has none is grey."""
    if not math.isfinite(share):
        return FAINT
    stops = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
    place = min(max(share, 0.0), 1.0) * (len(stops) - 1)
    left = min(int(place), len(stops) - 2)
    mixed = (round(a + (b - a) * (place - left)) for a, b in zip(stops[left], stops[left + 1], strict=True))
    return "rgb({},{},{})".format(*mixed)


_ENDS = {
    "complete": (COLOURS[2], "complete"),
    "pruned": (COLOURS[4], "pruned"),
    "fail": (COLOURS[1], "failed"),
    "interrupted": (COLOURS[5], "handed back"),
    "lost": (COLOURS[3], "lost"),
    "running": (COLOURS[0], "running"),
}


def worker_timeline(attempts: Sequence[Spell]) -> Plot | None:
    """What each worker did when: a bar per attempt, coloured by how it ended."""
    if not attempts:
        return None
    workers = sorted({attempt.worker for attempt in attempts})
    traces = []
    for kind, (colour, label) in _ENDS.items():
        mine = [attempt for attempt in attempts if _end(attempt) == kind]
        if mine:
            bars = {
                "type": "bar",
                "orientation": "h",
                "name": label,
                "base": [attempt.started_at.isoformat(timespec="milliseconds") for attempt in mine],
                "x": [round(1000 * attempt.seconds) for attempt in mine],
                "y": [attempt.worker for attempt in mine],
                "text": [f"trial {attempt.number}, attempt {attempt.attempt}" for attempt in mine],
                "textposition": "none",
                "hovertemplate": "%{text}<br>%{base}",
                "marker": {"color": colour, "line": {"color": "white", "width": 0.5}},
            }
            traces.append(bars)
    options = {"type": "category", "categoryorder": "array", "categoryarray": workers[::-1], "automargin": True}
    layout = {"xaxis": {"type": "date"}, "yaxis": options, "barmode": "overlay"}
    return plot("Workers: what each did when", "time (UTC)", "", traces, **layout)


def _end(attempt: Spell) -> str:
    if attempt.state is AttemptState.FINISHED:
        return str(attempt.trial_state.name.lower())
    return attempt.state.value


def accuracy_against_cost(trials: Sequence[TrialRow], metric: str, direction: Direction) -> Plot | None:
    """The value of each complete trial against its time, with the front: no cheaper trial is better."""
    done = [trial for trial in trials if trial.state is TrialState.COMPLETE and trial.seconds > 0]
    known = [(trial.seconds, trial.value, trial) for trial in done if trial.value is not None]
    known = [found for found in known if math.isfinite(found[1])]
    if not known:
        return None
    front = _front([(seconds, value) for seconds, value, _ in known], direction)
    shown = sorted(known, key=lambda found: _rank(found[1], direction))[:MOST_POINTS]
    text = [f"trial {trial.number}, {trial.parameters.get('model', '')}" for _, _, trial in shown]
    place = {"text": text, "hovertemplate": "%{text}<br>%{x} s<br>%{y}"}
    traces = [
        points(
            "trials", numbers(x for x, _, _ in shown), (y for _, y, _ in shown), marker={"color": COLOURS[0]}, **place
        ),
        line("front", numbers(x for x, _ in front), (y for _, y in front), line={"color": COLOURS[1], "shape": "hv"}),
    ]
    return plot(f"{metric} against cost", "device time (s)", metric, traces, xaxis={"type": "log"})


def _front(found: Sequence[tuple[float, float]], direction: Direction) -> list[tuple[float, float]]:
    sign = 1 if direction == "maximize" else -1
    front: list[tuple[float, float]] = []
    for seconds, value in sorted(found):
        if not front or sign * value > sign * front[-1][1]:
            front.append((seconds, value))
    return front
