"""The command that trains a search's leaders again: confirm."""

from typing import TYPE_CHECKING, Annotated

import typer

from study.cli._common import (
    EXIT_FAILED,
    AsJson,
    Name,
    Storage,
    complain,
    err,
    out,
    print_json,
    reported,
    storage_url,
)
from study.cli._launching import (
    Devices,
    GpusPerAgent,
    On,
    UseBusy,
    Workers,
    engine_options,
    launcher_of,
    outcome,
    prepare,
)

if TYPE_CHECKING:
    from storage.database import Database
    from study.confirmation.report import Confirmation
    from study.stored import StoredStudy


@reported
def confirm(
    context: typer.Context,
    name: Name,
    top: Annotated[int, typer.Option("--top", min=1, help="So many of the study's best trials.")] = 5,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Fresh seeds with which each is trained again.")] = 5,
    no_test: Annotated[bool, typer.Option("--no-test", help="Leave the test events closed.")] = False,
    workers: Workers = None,
    devices: Devices = None,
    on: On = "local",
    gpus_per_agent: GpusPerAgent = 1,
    use_busy: UseBusy = False,
    storage: Storage = None,
    as_json: AsJson = False,
) -> int:
    """Train a study's best trials again with fresh seeds: which is the best, and how optimistic was the search?

    The retrainings are a study of their own, NAME-confirm. The same command continues them, and adds seeds or leaders.
    Then the test events are opened for the winner. Options of an engine are added with its name, as for launch.
    """
    from dataclasses import replace

    from study._signals import ENDING, hold
    from study.cli.looking import existing
    from study.cli.watching import live_panel
    from study.confirmation.link import confirmation_name
    from study.confirmation.prepare import prepare_confirmation
    from study.launching import order_of, run_study
    from study.plan import build_plan
    from study.stored import load_stored

    options, url, database = engine_options(context), storage_url(storage), existing(storage)
    search = load_stored(database, name)
    plan = build_plan(search.config, search.folder)
    launcher = launcher_of(on, plan.folder)
    order = order_of(
        url,
        plan,
        workers=workers,
        devices=devices,
        use_busy=use_busy,
        gpus_per_agent=gpus_per_agent,
        options=options,
    )
    order = replace(order, study=confirmation_name(name))
    launcher.preview(order)
    added = prepare_confirmation(database, url, search, top=top, seeds=seeds)
    prepare(plan)
    with live_panel(err) as follow:
        done = run_study(url, added > 0, launcher, order, follow=follow)
        hold(ENDING)
    status = _report(database, search, test=not no_test, as_json=as_json)
    return outcome(done) or status


def _report(database: "Database", search: "StoredStudy", *, test: bool, as_json: bool) -> int:
    """Print what was found, open the test events for the winner, and print that; the exit status."""
    from storage.errors import DataError
    from study.confirmation.opening import open_for
    from study.confirmation.report import read_confirmation

    found = read_confirmation(database, search)
    if found is None:
        raise RuntimeError(f"the confirmation of study {search.name!r} was deleted while it ran")
    if not as_json:
        _table(found)
    metrics, problem = None, None
    if found.winner is not None:
        try:
            metrics = open_for(database, search, found.winner.number, opened=test)
        except DataError as error:
            problem = str(error)
    if as_json:
        print_json(found.to_json() | {"test": metrics})
    elif metrics and found.winner is not None:
        shown = ", ".join(f"{key} {'undefined' if value is None else f'{value:.4f}'}" for key, value in metrics.items())
        out.print(f"test events, opened for trial {found.winner.number}: {shown}", highlight=False, soft_wrap=True)
    if problem is not None:
        complain(f"the test events were not opened for the winner: {problem}")
        return EXIT_FAILED
    return 0


def _table(found: "Confirmation") -> None:
    from study.confirmation.words import lines

    for line in lines(found):
        out.print(line, highlight=False, markup=False, soft_wrap=True)
