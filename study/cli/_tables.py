"""Tables on the terminal."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from study.screen.cells import duration, short, state_text

if TYPE_CHECKING:
    from study.summary import Summary

__all__ = ["SHOWN_TRIALS", "duration", "key_values", "print_lines", "short", "state_text", "summary_table", "width_of"]

SHOWN_TRIALS = 10


def summary_table(console: Console, summary: "Summary", *, trials: int = SHOWN_TRIALS) -> None:
    """One study: where it stands, its workers, its leaders, its failures; plain where it is not for a terminal."""
    from study.screen.look import Look
    from study.screen.screen import screen

    print_lines(console, screen(summary, Look(width=width_of(console), plain=is_plain(console), trials=trials)))


def print_lines(console: Console, lines: Iterable[Text]) -> None:
    """Lines as they are, however wide."""
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def width_of(console: Console) -> int | None:
    """Characters of the terminal's line; None for a file or another program, which take any."""
    return console.width if console.is_terminal else None


def is_plain(console: Console) -> bool:
    """Whether characters that draw are out of place."""
    return not console.is_terminal or not console.encoding.lower().startswith("utf")


def key_values(console: Console, lines: Mapping[str, Any]) -> None:
    """Two columns, without a frame."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for key, value in lines.items():
        table.add_row(key, str(value))
    console.print(table, highlight=False)
