"""Pieces of a line: numbers in few characters, bars, a curve of one line, aligned columns."""

import math
from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from storage.history import TrialRow
from storage.tables import AttemptState

BLOCKS = "▁▂▃▄▅▆▇█"
GAP = 2
"""Blanks between two columns."""


def state_text(trial: TrialRow) -> str:
    """Optuna's state, with the class of the failure or the number of the attempt."""
    if trial.failure and trial.state.is_finished():
        return f"{trial.state.name} ({trial.failure})"
    if trial.attempt_state is AttemptState.PAUSED and not trial.state.is_finished():
        return "PAUSED"
    if trial.attempts > 1 and not trial.state.is_finished():
        return f"{trial.state.name} (attempt {trial.attempts})"
    return trial.state.name


def short(value: Any) -> str:
    """A value in few characters."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def number(value: float | None) -> str:
    """A metric's value: four decimals where they say something, nothing for None."""
    if value is None:
        return ""
    if not math.isfinite(value) or value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.4f}"
    return f"{value:.3e}"


def quantity(name: str, value: float | None) -> str:
    """An objective's value: a number of weights in full, anything else as `number`."""
    return f"{value:,.0f}" if name == "parameters" and value is not None else number(value)


def duration(seconds: float) -> str:
    """Seconds as 12.3s, 4m05s, 3h07m or 5d03h."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 60:
        return f"{seconds:.1f}s"
    if seconds < 3600:
        return f"{int(seconds // 60)}m{int(seconds % 60):02d}s"
    if seconds < 100 * 3600:
        return f"{int(seconds // 3600)}h{int(seconds % 3600 // 60):02d}m"
    return f"{int(seconds // 86400)}d{int(seconds % 86400 // 3600):02d}h"


def memory(megabytes: float | None) -> str:
    """Megabytes as 512 MB or 1.5 GB, nothing for None."""
    if megabytes is None:
        return ""
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1024:.1f} GB"


def clean(text: object) -> str:
    """Text on one line, without what a terminal would take for a command."""
    return "".join(letter if letter.isprintable() else " " for letter in str(text))


def bar(fraction: float, width: int, *, plain: bool) -> Text:
    """A bar of so many characters, of which a fraction is full."""
    full = round(min(1.0, max(0.0, fraction)) * width)
    if plain:
        return Text("#" * full + "." * (width - full))
    return Text.assemble(("━" * full, "green"), ("─" * (width - full), "bright_black"))


def sparkline(values: Sequence[float], width: int) -> str:
    """A curve as blocks, at most `width` of them; what is not finite is left out."""
    known = [value for value in values if math.isfinite(value)]
    if len(known) > width:
        known = [known[(place + 1) * len(known) // width - 1] for place in range(width)]
    if not known:
        return ""
    low, high = min(known), max(known)
    if high <= low:
        return BLOCKS[0] * len(known)
    scale = (len(BLOCKS) - 1) / (high - low)
    return "".join(BLOCKS[round((value - low) * scale)] for value in known)


def columns(rows: Sequence[Sequence[str | Text]], width: int | None, *, least: int = 1) -> list[Text]:
    """Rows as aligned lines; columns that do not fit are left out from the right.

    Args:
        rows: Equally long; the most important cells come first.
        width: Of the terminal, or None for any.
        least: Columns that stay, cut at the right edge if need be.
    """
    cells = [[cell if isinstance(cell, Text) else Text(clean(cell)) for cell in row] for row in rows]
    widths = [max(cell_len(cell.plain) for cell in column) for column in zip(*cells, strict=True)]
    while width is not None and len(widths) > least and sum(widths) + GAP * (len(widths) - 1) > width:
        widths.pop()
    return [_joined(row[: len(widths)], widths) for row in cells]


def _joined(row: Sequence[Text], widths: Sequence[int]) -> Text:
    line = Text()
    for cell, width in zip(row, widths, strict=True):
        line.append_text(cell)
        line.append(" " * (width - cell_len(cell.plain) + GAP))
    line.rstrip()
    return line
