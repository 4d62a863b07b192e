"""Commands that look at studies and machines: list, status, doctor."""

from typing import TYPE_CHECKING, Annotated

import typer

from study.cli._common import (
    EXIT_FAILED,
    AsJson,
    Name,
    Storage,
    complain,
    out,
    print_json,
    reported,
    storage_url,
)

if TYPE_CHECKING:
    from storage.agents import WorkerRow
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
    from storage.studies import list_studies
    from study.cli._tables import print_lines, width_of
    from study.screen.listing import listing
    from study.stored import decoded
    from study.summary import summarise

    database = existing(storage)
    summaries = [summarise(database, decoded(record)) for record in list_studies(database)]
    if as_json:
        print_json([summary.to_json() for summary in summaries])
    elif not summaries:
        out.print(f"no studies in {database.name}", highlight=False)
    else:
        print_lines(out, listing(summaries, width_of(out)))
    return 0


@reported
def status(
    name: Name,
    storage: Storage = None,
    trials: Annotated[int, typer.Option("--trials", min=0, help="Trials to show.")] = 10,
    importance: Annotated[bool, typer.Option("--importance", help="Tell which hyperparameters mattered.")] = False,
    as_json: AsJson = False,
) -> int:
    """Show one study once, as `watch` does. Exit status 1 when a worker is lost: its agent has fallen silent."""
    from study.cli._tables import print_lines, summary_table
    from study.importance import study_importances
    from study.screen.importance import importance_lines
    from study.stored import load_stored
    from study.summary import ranked, summarise, trial_json

    database = existing(storage)
    stored = load_stored(database, name)
    summary = summarise(database, stored)
    groups = study_importances(database, summary.trials, stored.objectives) if importance else []
    if as_json:
        more = {"importance": [group.to_json() for group in groups]} if importance else {}
        print_json(summary.to_json() | {"trials": [trial_json(trial) for trial in ranked(summary)]} | more)
    else:
        summary_table(out, summary, trials=trials)
        print_lines(out, importance_lines(groups))
    for worker in summary.lost:
        complain(_lost(worker, stored.config.lease.seconds))
    return EXIT_FAILED if summary.lost else 0


def _lost(worker: "WorkerRow", lease_s: float) -> str:
    from datetime import datetime, timedelta

    from study.screen.cells import duration
    from study.screen.workers import name_of

    since = datetime.now() - timedelta(seconds=worker.idle_s)
    return (
        f"worker {name_of(worker, None)} (process {worker.pid}) is lost: its agent on {worker.host} has said nothing "
        f"since {since:%Y-%m-%d %H:%M:%S}, {duration(worker.idle_s)} ago; its trials are resumed by other workers once "
        f"their lease of {lease_s:g} s has ended"
    )


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
