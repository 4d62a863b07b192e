"""Prove the guarantees: drill."""

from typing import TYPE_CHECKING, Annotated

import typer

from study.cli._common import EXIT_FAILED, AsJson, complain, err, log_to_stderr, out, print_json, reported

if TYPE_CHECKING:
    from study.drill.run import Report


@reported
def drill(
    storage: Annotated[
        str | None,
        typer.Option("--storage", help="Drill this database, in a study of its own; else an SQLite file of its own."),
    ] = None,
    private_server: Annotated[
        bool, typer.Option("--private-server", help="Drill a private PostgreSQL, and restart it as well.")
    ] = False,
    faults: Annotated[int, typer.Option("--faults", min=1, help="Faults; 33 strike each point three times.")] = 40,
    seed: Annotated[int, typer.Option("--seed", help="Of the faults' order and kinds.")] = 0,
    without_fencing: Annotated[
        bool, typer.Option("--without-fencing", help="Let lost attempts write: then the drill must fail.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Kill, freeze and cut off agents of a scratch study, and check that nothing is lost, doubled or changed."""
    import logging

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from storage.errors import ConfigError
    from study.drill.run import run_drill

    if storage is not None and private_server:
        raise ConfigError("give --storage or --private-server, not both")
    log_to_stderr(logging.WARNING)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as progress:
        task = progress.add_task("faults", total=None)
        report = run_drill(
            storage,
            private_server=private_server,
            faults=faults,
            seed=seed,
            fenced=not without_fencing,
            follow=lambda made, planned: progress.update(task, completed=made, total=planned),
        )
    if as_json:
        print_json(report.to_json())
    else:
        _show(report)
    return 0 if report.good else EXIT_FAILED


def _show(report: "Report") -> None:
    out.print(
        f"{report.database}: {len(report.made)} of {report.planned} faults struck in {report.seconds:.0f} s; "
        f"{report.trials} trials, {report.resumed} of them resumed",
        highlight=False,
    )
    out.print(_points(report), highlight=False)
    for guarantee, contradictions in report.checks.items():
        mark = "[red]no[/] " if contradictions else "[green]yes[/]"
        out.print(f"{mark} {guarantee}", highlight=False)
        for contradiction in contradictions[:5]:
            out.print(f"      {contradiction}", highlight=False, markup=False, soft_wrap=True)
        if len(contradictions) > 5:
            out.print(f"      and {len(contradictions) - 5} more", highlight=False)
    if len(report.made) < report.planned:
        complain(f"{report.planned - len(report.made)} planned faults did not strike: the study ended before")


def _points(report: "Report") -> object:
    from collections import Counter, defaultdict
    from statistics import median

    from rich.table import Table

    by_point = defaultdict(list)
    for made in report.made:
        by_point[str(made.fault.point)].append(made)
    table = Table(box=None, pad_edge=False)
    for heading in ("point", "faults", "recovered after\n(median, longest)", "kinds"):
        table.add_column(heading, no_wrap=heading != "kinds")
    for point, all_made in sorted(by_point.items()):
        times = [made.recovered_s for made in all_made if made.recovered_s is not None]
        recovered = f"{median(times):.1f} s, {max(times):.1f} s" if times else "nothing to recover"
        kinds = Counter(made.fault.kind for made in all_made)
        table.add_row(point, str(len(all_made)), recovered, ", ".join(f"{n} {kind}" for kind, n in kinds.items()))
    return table
