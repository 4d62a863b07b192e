"""The command that runs pruners over recorded curves: replay."""

from typing import Annotated

import typer

from study.cli._common import AsJson, Name, Storage, out, print_json, reported


@reported
def replay(
    name: Name,
    pruner: Annotated[
        list[str] | None,
        typer.Option("--pruner", help="As in a study file; again for each further one. Default: the study's own."),
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="An option of the one pruner: --set reduction_factor=4.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Trials at a time; else as many as the study had.")
    ] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> int:
    """Run pruners over a study's recorded curves: what they stop and save, and whether the winner survives."""
    import logging

    from study.cli.looking import existing
    from study.replaying import replay_study

    logging.getLogger("optuna").setLevel(logging.WARNING)  # a study in memory is nobody's news
    database = existing(storage)
    found = replay_study(database, name, pruner or [], sets or [], workers)
    if as_json:
        print_json(found.to_json())
        return 0
    from rich.text import Text

    from study.cli._tables import print_lines
    from study.screen.cells import columns
    from study.screen.replays import remarks, table

    print_lines(out, [*columns(table(found), None), Text("")])
    print_lines(out, [Text(line) for line in remarks(found)])
    return 0
