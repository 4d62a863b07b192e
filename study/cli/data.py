"""Commands about data: simulate, inspect, init."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli._common import EXIT_BAD_INPUT, AsJson, complain, err, out, print_json, reported

if TYPE_CHECKING:
    from storage.hdf5 import Layout
    from study.inspection import Inspection

Out = Annotated[Path, typer.Argument(metavar="OUT.h5", help="File to write.")]
DataFile = Annotated[Path, typer.Argument(metavar="FILE.h5", help="HDF5 file of events.")]
Events = Annotated[str, typer.Option("--events-name", help="Dataset of the events.")]
Axes = Annotated[str, typer.Option("--axes", help="Order of its axes: NHWC, NCHW or NHW.")]
Target = Annotated[str, typer.Option("--target", help="Dataset to learn.")]
Pixels = Annotated[
    Path | None, typer.Option("--pixels", help="For a file of digitised hits: the .npz of the tubes' pixels.")
]
FirstPmt = Annotated[int, typer.Option("--first-pmt", min=0, help="Number of its first tube.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")]


@reported
def simulate(
    to: Out,
    events: Annotated[int, typer.Option("--events", min=1, help="Number of events.")] = 6000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of all randomness.")] = 0,
    hits: Annotated[
        bool, typer.Option("--hits", help="Write digitised hits as WatChMaL does, and the map of pixels (.npz).")
    ] = False,
    force: Force = False,
) -> int:
    """Write simulated water-Cherenkov events in the reference HDF5 format."""
    from study.generation import write_simulation

    _check_writable(to, force)
    with _bar(f"simulating {events} events", events) as advance:
        write_simulation(to, events, seed, overwrite=force, hits=hits, advance=advance)
    out.print(f"wrote {events} events to {to} ({to.stat().st_size / 2**20:.0f} MB)", highlight=False)
    if hits:
        pixels = to.with_suffix(".npz")
        text = f"wrote their map to {pixels}; in a study file: data: {{path: {to}, pixels: {pixels}}}"
        out.print(text, highlight=False, soft_wrap=True)
    return 0


@contextlib.contextmanager
def _bar(description: str, total: int) -> Iterator[Callable[[int], None]]:
    from rich.progress import Progress

    with Progress(console=err, disable=not err.is_terminal, transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda count: progress.update(task, advance=count)


@reported
def inspect(
    file: DataFile,
    events_name: Events = "event_data",
    axes: Axes = "NHWC",
    target: Target = "labels",
    pixels: Pixels = None,
    first_pmt: FirstPmt = 0,
    every: Annotated[bool, typer.Option("--all", help="Read every event, not only a sample.")] = False,
    draw: Annotated[Path | None, typer.Option("--draw", help="Draw one event of each class to a PNG.")] = None,
    events: Annotated[
        str | None,
        typer.Option(
            "--events", metavar="ROWS", help="Draw these events, as 0,17,203, to --draw or else FILE-events.png here."
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Show what is in a file: datasets, classes, statistics, problems; optionally a picture."""
    from study.cli._reports import inspection_report
    from study.inspection import draw_classes, draw_rows

    layout = _layout(events_name, axes, target, pixels, first_pmt)
    rows = None if events is None else _rows(events)
    if rows is not None and draw is None:
        draw = Path(f"{file.stem}-events.png")
    if draw is not None:
        _check_writable(draw, force=True)
    inspection = _inspected(file, layout, every=every)
    if as_json:
        print_json(inspection.to_json())
    else:
        inspection_report(out, inspection)
    if draw is not None and rows is not None:
        draw_rows(file, layout, rows, draw)
        err.print(f"drew {len(rows)} event{'s' if len(rows) != 1 else ''} to {draw}", highlight=False)
    elif draw is not None:
        draw_classes(file, layout, draw)
        err.print(f"drew one event of each class to {draw}", highlight=False)
    for problem in inspection.problems:
        complain(problem)
    return EXIT_BAD_INPUT if inspection.problems else 0


def _rows(given: str) -> list[int]:
    from storage.errors import ConfigError

    parts = [part.strip() for part in given.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise ConfigError(
            f"--events {given}: accepted are the numbers of events, from 0, with commas between them: 0,17,203"
        )
    return [int(part) for part in parts]


@reported
def init(
    data: Annotated[Path, typer.Option("--data", help="HDF5 file of events.")],
    to: Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="File to write.")] = Path("study.yaml"),
    events_name: Events = "event_data",
    axes: Axes = "NHWC",
    target: Target = "labels",
    pixels: Pixels = None,
    first_pmt: FirstPmt = 0,
    force: Force = False,
) -> int:
    """Write a commented study file fitted to the data."""
    from study.template import study_file

    _check_writable(to, force)
    layout = _layout(events_name, axes, target, pixels, first_pmt)
    inspection = _inspected(data, layout, every=False)
    for problem in inspection.problems:
        complain(problem)
    if inspection.problems:
        return EXIT_BAD_INPUT
    path = _seen_from(to, data)
    where = None if pixels is None else _seen_from(to, pixels)
    to.write_text(study_file(inspection, path, replace(layout, pixels=where)), encoding="utf-8")
    for remark in inspection.remarks:
        err.print(f"[yellow]note:[/] {remark}", highlight=False)
    out.print(f"wrote {to}; next: studyhall check {to}", highlight=False)
    return 0


def _seen_from(study_file: Path, path: Path) -> Path:
    """Relative to the study file where it can be, so that all can be moved together."""
    folder = study_file.absolute().parent
    return path.absolute().relative_to(folder) if path.absolute().is_relative_to(folder) else path.absolute()


def _check_writable(path: Path, force: bool) -> None:
    from storage.errors import ConfigError

    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path} cannot be written: there is no folder {path.absolute().parent}; create it first")
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give the name of a file to write")
    if path.exists() and not force:
        raise ConfigError(f"{path} exists; --force overwrites it")


def _layout(events: str, axes: str, target: str, pixels: Path | None, first_pmt: int) -> "Layout":
    from storage.errors import ConfigError
    from storage.hdf5 import Layout

    try:
        return Layout(events=events, axes=axes, target=target, pixels=pixels, first_pmt=first_pmt)
    except ValueError as error:
        raise ConfigError(f"--axes, --events-name or --target: {error}") from None


def _inspected(file: Path, layout: "Layout", *, every: bool) -> "Inspection":
    from storage.errors import DataError
    from study.inspection import inspect_file, suggestion

    try:
        return inspect_file(file, layout, every=every)
    except DataError as error:
        # The layout is given by options here, not by a study file.
        hint = suggestion(file) if "under `data`" in str(error) else ""
        text = str(error).replace("under `data`", "with --events-name or --target")
        text = text.replace("as `data.pixels`", "as --pixels").replace("as `data.first_pmt`", "as --first-pmt")
        raise DataError(text + (f"; perhaps {hint}" if hint else "")) from None
