"""Commands that remove and keep studies: delete, gc, backup, restore."""

from pathlib import Path
from typing import Annotated

import typer

from study.cli._common import Name, Storage, err, out, reported, storage_url
from study.cli.looking import existing

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")]
BackupFile = Annotated[Path, typer.Argument(metavar="FILE.db", help="A backup.")]


@reported
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    storage: Storage = None,
) -> int:
    """Remove a study: its trials, their weights and logs."""
    from study.keeping import delete_study, study_size

    database = existing(storage)
    size = study_size(database, name)
    if not yes and not typer.confirm(f"remove study {name!r} with {size.trials} trials and {size.files} files?"):
        err.print("nothing was removed")
        return 2
    delete_study(database, name)
    out.print(f"removed study {name!r}", highlight=False)
    return 0


@reported
def gc(dry_run: DryRun = False, storage: Storage = None) -> int:
    """Remove what nobody needs any more: files of ended attempts, records of agents that are gone."""
    from study.keeping import collect_garbage

    found = collect_garbage(existing(storage), dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    for place in found.places:
        out.print(f"{verb} {place}", highlight=False)
    out.print(
        f"{verb} {len(found.places)} folders ({found.bytes / 2**20:.1f} MB), {found.agents} agents' and "
        f"{found.operations} operations' records",
        highlight=False,
    )
    return 0


@reported
def backup(
    name: Name,
    to: Annotated[Path, typer.Option("--to", help="File to write.")],
    storage: Storage = None,
) -> int:
    """Write a study with all its tables to one file, itself an Optuna database. Weights are not in it."""
    from study.keeping import backup_study

    trials = backup_study(existing(storage), name, to)
    out.print(f"wrote {name} ({trials} trials) to {to}", highlight=False)
    return 0


@reported
def restore(
    file: BackupFile,
    as_name: Annotated[str | None, typer.Option("--as", help="Another name for the study.")] = None,
    storage: Storage = None,
) -> int:
    """Copy the study of a backup into the database."""
    from study.keeping import restore_study

    name, trials = restore_study(file, storage_url(storage), as_name)
    out.print(f"restored {name} ({trials} trials)", highlight=False)
    return 0
