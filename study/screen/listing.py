"""Studies side by side, a line each."""

from collections.abc import Sequence

from rich.text import Text

from study.screen.cells import columns, duration, number
from study.summary import Summary

HEADINGS = ("study", "state", "trials", "best", "test", "metric", "run", "pruned", "failed", "GPU-h", "rate/h", "ETA")


def listing(summaries: Sequence[Summary], width: int | None) -> list[Text]:
    """A heading and a line per study.

    Args:
        width: Of the terminal, or None for any.
    """
    lines = columns([HEADINGS, *map(_row, summaries)], width, least=4)
    lines[0].stylize("bright_black")
    if width is not None:
        for line in lines:
            line.truncate(width, overflow="ellipsis")
    return lines


def _row(summary: Summary) -> list[str | Text]:
    front = f", front of {len(summary.front)}" if len(summary.objectives) > 1 else ""
    best = "" if summary.best is None else f"{number(summary.best.value)} (trial {summary.best.number}{front})"
    return [
        summary.name,
        summary.state,
        f"{summary.finished}/{summary.budget if summary.budget is not None else '?'}",
        best,
        number(summary.test),
        ", ".join(each.name for each in summary.objectives),
        str(len(summary.running)),
        str(summary.counts.get("PRUNED", 0)),
        str(summary.counts.get("FAIL", 0)),
        f"{summary.device_seconds / 3600:.2f}",
        "" if summary.rate is None else f"{summary.rate:.1f}",
        "" if summary.eta_s is None else duration(summary.eta_s),
    ]
