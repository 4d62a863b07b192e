"""The command that tells what has happened: logs."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from study.cli._common import Name, Storage, err, out, reported

if TYPE_CHECKING:
    from storage.database import Database
    from study.logs import Entry, LogFiles
    from study.stored import StoredStudy
    from study.watching import Looker

LOOK_S = 2.0
"""Least seconds between two looks whether the study has ended."""


@reported
def logs(
    name: Name,
    storage: Storage = None,
    trial: Annotated[int | None, typer.Option("--trial", min=0, help="Everything known of this trial.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines until the study ends.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Why trials failed, by class.")] = False,
    lines: Annotated[int | None, typer.Option("--lines", min=0, help="Only so many of the last lines.")] = None,
) -> int:
    """Show what the agents of a study have logged, in the order of time; of one trial, or of what failed."""
    from storage.errors import ConfigError
    from study.cli.looking import existing
    from study.stored import load_stored

    if failed and (follow or trial is not None):
        raise ConfigError("--failed shows what has failed so far: give it without --trial and --follow")
    database = existing(storage)
    stored = load_stored(database, name)
    if failed:
        _failed(database, stored)
    elif trial is not None:
        _trial(database, stored, trial, lines, follow=follow)
    else:
        _all(database, stored, lines, follow=follow)
    return 0


def _failed(database: "Database", stored: "StoredStudy") -> None:
    from storage.history import read_trials
    from study.cli._tables import print_lines
    from study.digest import failed_digest

    print_lines(out, failed_digest(read_trials(database, stored.study_id)))


def _trial(database: "Database", stored: "StoredStudy", number: int, lines: int | None, *, follow: bool) -> None:
    from study.cli._tables import print_lines
    from study.digest import failure_digest, read_trial, trial_digest

    print_lines(out, trial_digest(database, stored, read_trial(database, stored, number)))
    files, tell = _files(stored), _teller()
    entries = [entry for entry in files.read() if entry.concerns(number)]
    if not files.found:
        _say_none(database, stored)
    if entries or follow:
        print_lines(out, [Text(""), Text("log", style="bold")])
        tell(entries, lines)
    if follow:
        with _looker(database, stored) as looker:
            for fresh in _fresh(looker, files.read, number):
                tell([entry for entry in fresh if entry.concerns(number)], None)
    print_lines(out, failure_digest(read_trial(database, stored, number)))


def _all(database: "Database", stored: "StoredStudy", lines: int | None, *, follow: bool) -> None:
    from storage.history import read_trials
    from study._told import Told

    files, tell, told = _files(stored), _teller(), Told(stored.metric)
    entries = files.read()
    if not files.found:
        _say_none(database, stored)
        entries = told.news(read_trials(database, stored.study_id))
    tell(entries, lines)
    if not follow:
        return
    with _looker(database, stored) as looker:
        told_by = files.read if files.found else lambda: told.news(looker.seen.summary.trials)
        for fresh in _fresh(looker, told_by):
            tell(fresh, None)


def _files(stored: "StoredStudy") -> "LogFiles":
    from study.launching import logs_folder
    from study.logs import LogFiles

    return LogFiles(logs_folder(stored))


def _teller() -> "Callable[[list[Entry], int | None], None]":
    from study.logs import Marks
    from study.screen.cells import clean

    marks = Marks()

    def tell(entries: "list[Entry]", last: int | None) -> None:
        shown = marks.lines(entries)
        for line in shown if last is None else shown[len(shown) - min(last, len(shown)) :]:
            out.print(Text(clean(line)), highlight=False, soft_wrap=True)

    return tell


@contextlib.contextmanager
def _looker(database: "Database", stored: "StoredStudy") -> "Iterator[Looker]":
    """Looks whether the study goes on; one that has been deleted meanwhile is an error in the end."""
    from study.watching import Looker, Study

    looker = Looker(Study(database, stored.name), every_s=LOOK_S)
    try:
        yield looker
    finally:
        looker.end()
    if looker.seen.error is not None:
        raise looker.seen.error


def _fresh(looker: "Looker", read: "Callable[[], list[Entry]]", number: int | None = None) -> "Iterator[list[Entry]]":
    """What is new, until the study, or the trial of that number, has ended."""
    from study.logs import follow

    def over() -> bool:
        seen = looker.seen
        ended = number is not None and any(t.number == number and t.settled for t in seen.summary.trials)
        return seen.error is not None or seen.summary.done or ended

    return follow(read, over)


def _say_none(database: "Database", stored: "StoredStudy") -> None:
    from storage.agents import list_workers

    hosts = sorted({worker.host for worker in list_workers(database, stored.study_id)})
    where = f" (its agents run on {', '.join(hosts)})" if hosts else ""
    text = f"no log file of study {stored.name!r} is in {stored.artifacts / 'logs'}{where}"
    err.print(Text(f"{text}; what is shown comes from the database"), highlight=False)
