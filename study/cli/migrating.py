"""The command that changes a study's search space."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli._common import AsJson, Name, Storage, out, print_json, reported
from study.cli.looking import existing

if TYPE_CHECKING:
    from study.migrating import Migration


@reported
def migrate(
    name: Name,
    study_file: Annotated[
        Path | None, typer.Argument(metavar="[STUDY.yaml]", help="The study file with the new space.")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="A key of the space: --set space.optimizer=adam; null: not given.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    storage: Storage = None,
    as_json: AsJson = False,
) -> int:
    """Change the search space of a study and keep its trials, while no agent is at work."""
    from study.migrating import migrate as run

    database = existing(storage)
    try:
        done = run(database, name, study_file, sets or [], dry_run=dry_run)
    finally:
        database.close()
    if as_json:
        print_json(done.to_json())
    else:
        for line in _lines(name, done):
            out.print(line, highlight=False, markup=False, soft_wrap=True)
    return 0


def _lines(name: str, done: "Migration") -> list[str]:
    if not done.changes:
        return [f"{name}: the study has this space already"]
    begin = f"{name}: the space is changed" if done.done else f"{name}: the space would change"
    lines = [begin, *(f"  {c.key}: {_given(c.old)} → {_given(c.new)}" for c in done.changes)]
    lines.append(f"  {done.rewritten} trials are stored as the new space has them; none was trained otherwise")
    lines += [
        f"  {count} trials have {parameter} outside of it: they stay as they are, and the sampler leaves that out"
        for parameter, count in done.outside.items()
    ]
    if done.done:
        lines.append("  `studyhall launch STUDY.yaml` or `studyhall worker` goes on in it")
    return lines


def _given(value: object) -> str:
    from study._explaining import shown

    return "not given" if value is None else shown(value)
