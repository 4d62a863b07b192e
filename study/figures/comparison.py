"""The best value so far of several studies: by trials, by epochs trained, by time."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.comparing import Compared
from study.figures._style import COLOURS, LINES, NORMAL, dress, figure, note, numbers, plain, png, whole_ticks

WIDTH, HEIGHT = 12.0, 4.4  # inches
MINUTES_UP_TO_S, SECONDS_UP_TO_S = 2 * 3600.0, 120.0


def comparison_png(studies: Sequence[Compared]) -> bytes:
    """Three panels with a curve per study, 1200 pixels wide; one legend for all."""
    drawn = figure(HEIGHT, WIDTH)
    panels = drawn.subplots(1, 3, sharey=True)
    unit, seconds = _unit(studies)
    metrics = list(dict.fromkeys(study.metric for study in studies))
    value = f"best {plain(metrics[0])} so far" if len(metrics) == 1 else "best value so far (metrics differ)"
    for axes, label in zip(panels, ("trials ended", "epochs trained, all trials", f"time ({unit})"), strict=True):
        dress(axes, label, value if axes is panels[0] else "")
    for place, study in enumerate(studies):
        curve = study.curve
        draw_curve(panels[0], curve.trials, study, place)
        draw_curve(panels[1], curve.epochs, study, place)
        draw_curve(panels[2], [second / seconds for second in curve.seconds], study, place)
    whole_ticks(panels[0])
    whole_ticks(panels[1])
    for axes in panels:
        if axes.lines:
            axes.set_xlim(left=0)
        else:
            note(axes, "no complete trial yet")
    _legend(drawn, panels[0])
    return png(drawn)


def draw_curve(axes: Axes, x: Sequence[float], study: Compared, place: int) -> None:
    """One study's curve as steps, since a best value holds until it is beaten; a point where it was."""
    best = numbers(study.curve.best)
    known = best == best
    if not known.any():
        return
    colour, style = COLOURS[place % len(COLOURS)], LINES[(place + place // len(COLOURS)) % len(LINES)]
    along, values = numbers(x)[known], best[known]
    axes.step(along, values, where="post", color=colour, linestyle=style, linewidth=1.8, label=plain(study.name))
    rises = [True, *(values[1:] != values[:-1])]
    axes.plot(along[rises], values[rises], linestyle="none", marker="o", markersize=3.5, color=colour)


def _unit(studies: Sequence[Compared]) -> tuple[str, float]:
    """The unit that suits the longest study, and its seconds."""
    longest = max((study.wall_s for study in studies), default=0.0)
    if longest <= SECONDS_UP_TO_S:
        return "s", 1.0
    return ("minutes", 60.0) if longest <= MINUTES_UP_TO_S else ("hours", 3600.0)


def _legend(drawn: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        columns = min(len(labels), 5)
        drawn.legend(handles, labels, loc="outside upper center", ncols=columns, fontsize=NORMAL, frameon=False)
