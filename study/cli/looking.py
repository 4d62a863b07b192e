"""Commands that look at studies and machines: list, status, dashboard, doctor."""

from typing import TYPE_CHECKING, Annotated

import typer

from study.cli._common import (
    DEFAULT_STORAGE,
    EXIT_FAILED,
    AsJson,
    Name,
    Storage,
    err,
    out,
    print_json,
    reported,
    storage_url,
)

if TYPE_CHECKING:
    from storage.database import Database


def existing(given: str | None) -> "Database":
    """The database, which must exist, brought up to date: looking never creates an SQLite file or tables."""
    from pathlib import Path

    from storage._schema import upgrade_tables
    from storage.database import Database
    from storage.errors import DatabaseError

    database = Database(storage_url(given))
    file = database.url.database
    if database.url.get_backend_name() == "sqlite" and not Path(str(file)).is_file():
        raise DatabaseError(
            f"there is no database {file}; give --storage URL, or start a study with `studyhall launch`"
        )
    upgrade_tables(database)
    return database


@reported
def list_(storage: Storage = None, as_json: AsJson = False) -> int:
    """List the studies of a database."""
    from rich.table import Table

    from storage.studies import list_studies
    from study.stored import decoded
    from study.summary import summarise

    database = existing(storage)
    summaries = [summarise(database, decoded(record)) for record in list_studies(database)]
    if as_json:
        print_json([summary.to_json() for summary in summaries])
        return 0
    if not summaries:
        out.print(f"no studies in {database.name}", highlight=False)
        return 0
    table = Table(box=None, pad_edge=False)
    for heading in ("study", "state", "trials", "running", "metric", "best"):
        table.add_column(heading)
    for summary in summaries:
        best = "" if summary.best is None else f"{summary.best.value:.4f} (trial {summary.best.number})"
        trials = f"{summary.finished}/{summary.budget or '?'}"
        table.add_row(summary.name, summary.state, trials, str(len(summary.running)), summary.metric, best)
    out.print(table, highlight=False)
    return 0


@reported
def status(
    name: Name,
    storage: Storage = None,
    trials: Annotated[int, typer.Option("--trials", min=0, help="Trials to show.")] = 10,
    as_json: AsJson = False,
) -> int:
    """Show one study: counts, leaders, what runs, what failed, how often the test events were opened."""
    from study.cli._tables import summary_table
    from study.stored import load_stored
    from study.summary import ranked, summarise, trial_json

    database = existing(storage)
    summary = summarise(database, load_stored(database, name))
    if as_json:
        print_json(summary.to_json() | {"trials": [trial_json(trial) for trial in ranked(summary)]})
    else:
        summary_table(out, summary, trials=trials)
    return 0


@reported
def dashboard(
    storage: Storage = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
) -> int:
    """Serve optuna-dashboard on this database until Ctrl-C. It has no password: keep it on 127.0.0.1."""
    from study.dashboard import serve

    url = storage_url(storage)
    if url == DEFAULT_STORAGE or url.startswith("sqlite"):
        existing(url).close()
    if host not in ("127.0.0.1", "localhost", "::1"):
        err.print("[yellow]warning:[/] anyone who reaches this address can change and delete studies")
    serve(url, host, port, announce=lambda address: out.print(f"dashboard at {address} (Ctrl-C ends it)"))
    return 0


@reported
def doctor(storage: Storage = None, as_json: AsJson = False) -> int:
    """Show what this machine has: devices, memory, packages, database; what is missing and how to get it."""
    from study.doctor import examine

    findings = examine(storage_url(storage))
    if as_json:
        print_json([finding.to_json() for finding in findings])
    else:
        for finding in findings:
            mark = "[green]ok[/]  " if finding.good else "[red]bad[/] "
            out.print(f"{mark}{finding.subject}: {finding.found}", highlight=False, soft_wrap=True)
            if finding.remedy:
                out.print(f"      {finding.remedy}", highlight=False, soft_wrap=True)
    return 0 if all(finding.good for finding in findings) else EXIT_FAILED
