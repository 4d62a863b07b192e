"""The command that puts studies side by side: compare."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli._common import AsJson, Storage, err, out, print_json, reported

if TYPE_CHECKING:
    from study.comparing import Comparison

Names = Annotated[list[str], typer.Argument(metavar="NAME…", help="Studies of one database.")]


@reported
def compare(
    names: Names,
    storage: Storage = None,
    png: Annotated[Path | None, typer.Option("--png", help="Write the curves to this file.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write one page with tables and curves.")] = None,
    as_json: AsJson = False,
) -> int:
    """Put studies side by side: what they reached, what it cost, in what they differ; curves as PNG or HTML."""
    from study.cli.looking import existing
    from study.comparing import compare as compare_studies

    found = compare_studies(existing(storage), names)
    written = _write(found, png, html)
    if as_json:
        print_json(found.to_json())
        return 0
    _print(found)
    for path in written:
        out.print(f"wrote {path}", highlight=False, markup=False, emoji=False, soft_wrap=True)
    return 0


def _write(found: "Comparison", png: Path | None, html: Path | None) -> list[Path]:
    if png is None and html is None:
        return []
    from study._comparison_page import comparison_page
    from study.figures.comparison import comparison_png

    drawn = comparison_png(found.studies)
    written = []
    if png is not None:
        written.append(_replace(png, drawn))
    if html is not None:
        written.append(_replace(html, comparison_page(found, drawn).encode()))
    return written


def _replace(path: Path, content: bytes) -> Path:
    """Write beside and rename, so that nobody reads half a file."""
    import uuid

    beside = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def _print(found: "Comparison") -> None:
    from rich.text import Text

    from study.cli._tables import print_lines
    from study.screen.cells import columns
    from study.screen.comparison import differences, results

    for warning in found.warnings:
        err.print(Text.assemble(("warning: ", "yellow"), warning), highlight=False)
    print_lines(out, columns(list(zip(*results(found), strict=True)), None))
    differing = differences(found)
    if differing:
        print_lines(out, [Text(""), *columns(differing, None)])
    elif len(found.studies) > 1:
        print_lines(out, [Text(""), Text("the configurations do not differ")])
