"""Commands about converted events: cache list, cache clear; and the bar that shows a conversion."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli._common import AsJson, err, out, print_json, reported

if TYPE_CHECKING:
    from storage.ingest import Progress

app = typer.Typer(
    help="Converted events: files that are compressed, chunked, big-endian or lists of hits are converted once.",
    no_args_is_help=True,
)

Data = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE.h5|FOLDER]", help="The data, or their folder; by default STUDYHALL_CACHE, or here."),
]


@app.command("list")
@reported
def list_(data: Data = None, as_json: AsJson = False) -> int:
    """Show what has been converted: from which file, how many events, how large."""
    from dataclasses import asdict

    from rich.table import Table

    from storage.ingest import entries

    folder = _folder(data)
    found = entries(folder)
    if as_json:
        print_json({"folder": str(folder), "entries": [asdict(entry) for entry in found]})
        return 0
    if not found:
        out.print(f"nothing is kept in {folder}", highlight=False, soft_wrap=True)
        return 0
    table = Table(title=str(folder), title_justify="left", box=None, pad_edge=False)
    table.add_column("source", overflow="fold")
    for heading in ("events", "form", "size", "of dense"):
        table.add_column(heading, justify="left" if heading == "form" else "right", no_wrap=True)
    for entry in found:
        form = "sparse" if entry.sparse else "dense"
        share = f"{entry.nbytes / max(1, entry.dense_nbytes):.0%}"
        table.add_row(entry.source, f"{entry.events:,}", form, _size(entry.nbytes), share)
    out.print(table, highlight=False)
    return 0


@app.command()
@reported
def clear(data: Data = None) -> int:
    """Remove what has been converted; it is made again when it is needed."""
    from storage.ingest import clear as remove
    from storage.ingest import entries

    folder = _folder(data)
    before = entries(folder)
    remove(folder)
    kept = {entry.key for entry in entries(folder)}
    gone = [entry for entry in before if entry.key not in kept]
    size = _size(sum(entry.nbytes for entry in gone))
    out.print(f"removed {len(gone)} converted files, {size}, from {folder}", highlight=False, soft_wrap=True)
    return 0


def _folder(data: Path | None) -> Path:
    from storage.errors import ConfigError
    from storage.ingest import BESIDE, cache_folder
    from study._plan_data import configured_cache

    if data is not None and not data.exists():
        raise ConfigError(f"{data} does not exist; give the data file, or the folder it is in")
    if data is not None and data.is_dir():
        return data if data.name == BESIDE or data == configured_cache() else data / BESIDE
    return cache_folder(data or Path("data"), configured_cache())


def _size(nbytes: int) -> str:
    return f"{nbytes / 2**30:.2f} GB" if nbytes >= 2**30 else f"{nbytes / 2**20:.1f} MB"


@contextlib.contextmanager
def converting(path: Path) -> "Iterator[Progress]":
    """A progress bar on a terminal, a line per step elsewhere; nothing where nothing is converted."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    steps: dict[str, int] = {}
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bars:

        def progress(doing: str, done: int, total: int) -> None:
            if doing not in steps:
                steps[doing] = bars.add_task(f"{doing} {path.name}", total=total)
                if not err.is_terminal:
                    err.print(f"{doing} {path} ({_size(total)}), once", highlight=False)
            bars.update(steps[doing], completed=done, total=total)  # type: ignore[arg-type]  # a TaskID is an int

        yield progress
