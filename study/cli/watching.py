"""The command that shows a study live: watch."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group
from rich.text import Text

from study.cli._common import Name, Storage, err, out, reported

if TYPE_CHECKING:
    from study.summary import Summary
    from study.watching import Looker

REDRAW_S = 0.25
"""Between two looks at the terminal's size."""
NOTICE_S = 1.0
"""Between two drawings of a notice that counts seconds."""


@reported
def watch(
    name: Name,
    storage: Storage = None,
    every: Annotated[float, typer.Option("--every", min=0.1, help="Least seconds between two looks.")] = 2.0,
    forever: Annotated[bool, typer.Option("--forever", help="Go on when the study is finished.")] = False,
) -> int:
    """Show a study live on one screen until it is finished; Ctrl-C leaves, and the study goes on."""
    from study.cli._tables import summary_table
    from study.cli.looking import existing
    from study.watching import Looker, Study

    database = existing(storage)
    looker = Looker(Study(database, name), every_s=every)
    show = _screen if out.is_terminal else _lines
    try:
        with _left_by_signals():
            show(looker, forever)
    except KeyboardInterrupt:
        return 0
    finally:
        looker.end()
        database.close()
    if looker.seen.error is not None:
        raise looker.seen.error
    if out.is_terminal:
        summary_table(out, looker.seen.summary)
    return 0


@contextlib.contextmanager
def live_panel(console: Console) -> Iterator["Callable[[Summary], None]"]:
    """A panel below what is printed, which is gone in the end; called with the study, it shows it.

    On what is no terminal: a line per change.
    """
    from rich.live import Live

    if not console.is_terminal:
        yield line_per_change(console)
        return
    with Live(Text("starting"), console=console, auto_refresh=False, transient=True) as live:

        def show(summary: "Summary") -> None:
            live.update(drawn(summary, console, rows=console.height - 1), refresh=True)

        yield show


def line_per_change(console: Console) -> "Callable[[Summary], None]":
    """What prints a study's line when it is another one than before."""
    from study.screen.screen import one_line

    last = ""

    def show(summary: "Summary") -> None:
        nonlocal last
        line = one_line(summary)
        if line != last:
            console.print(Text(line), highlight=False, soft_wrap=True)
            last = line

    return show


def drawn(
    summary: "Summary", console: Console, *, rows: int, notice: str | None = None, hint: str | None = None
) -> Group:
    """The study as large as the console."""
    from study.screen.look import Look
    from study.screen.screen import screen

    plain = not console.encoding.lower().startswith("utf")
    look = Look(width=console.width, height=rows, plain=plain, notice=notice, hint=hint)
    return Group(*screen(summary, look))


def _screen(looker: "Looker", forever: bool) -> None:
    from rich.live import Live

    shown: object = None
    hint = "Ctrl-C leaves; the study goes on"
    with Live(console=out, screen=True, auto_refresh=False) as live:
        while not _over(looker, forever):
            ticks = int(time.monotonic() / NOTICE_S) if looker.notice else 0
            state = (out.size, looker.seen.looks, looker.notice, ticks)
            if state != shown:
                summary = looker.seen.summary
                live.update(drawn(summary, out, rows=out.height, notice=looker.notice, hint=hint), refresh=True)
                shown = state
            looker.wait(REDRAW_S)


def _lines(looker: "Looker", forever: bool) -> None:
    show, notice = line_per_change(out), None
    show(looker.seen.summary)
    while not _over(looker, forever):
        looker.wait(NOTICE_S)
        if looker.seen.away_since is None:
            show(looker.seen.summary)
        elif looker.notice != notice:
            err.print(Text(looker.notice or ""), highlight=False)
        notice = looker.notice


def _over(looker: "Looker", forever: bool) -> bool:
    seen = looker.seen
    return seen.error is not None or (seen.summary.done and not forever)


@contextlib.contextmanager
def _left_by_signals() -> Iterator[None]:
    """A terminal that closes, or a request to end, is as good as Ctrl-C: the screen is put back."""
    from study._signals import ENDING, handled

    def leave(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    with handled(ENDING, leave):
        yield
