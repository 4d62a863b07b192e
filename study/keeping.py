"""Remove, clean up, back up and restore studies."""

import os
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, func, select

from storage import _optuna, _study_rows, files, studies
from storage._schema import upgrade_tables
from storage.backup import copy_study
from storage.clock import utc_now
from storage.database import Database
from storage.errors import ConfigError
from storage.tables import AGENTS, ATTEMPTS, OPERATIONS, AttemptState
from study.stored import StoredStudy, decoded, load_stored

FORGOTTEN_S = 86_400.0
"""Records of agents that are gone and of repeated writes are kept for a day."""


@dataclass(frozen=True)
class Size:
    """How much a study holds."""

    trials: int
    files: int


@dataclass(frozen=True)
class Garbage:
    """What nobody needs.

    Attributes:
        places: Folders of attempts, and artifacts of such that did not end their trial.
        bytes: Their size, where they are on a file system.
        agents: Records of agents that are gone.
        operations: Records of writes that nobody will repeat.
    """

    places: Sequence[str]
    bytes: int
    agents: int
    operations: int


def study_size(database: Database, name: str) -> Size:
    """How much a study holds.

    Raises:
        StudyMissing: There is no such study.
    """
    stored = load_stored(database, name)
    with database.read() as connection:
        attempts = select(func.count(func.distinct(ATTEMPTS.c.trial_id))).where(ATTEMPTS.c.study_id == stored.study_id)
        trials = connection.scalar(attempts) or 0
    return Size(trials, sum(len(names) for _, _, names in os.walk(stored.files)))


def delete_study(database: Database, name: str) -> None:
    """Remove a study with its trials, weights and logs.

    Raises:
        StudyMissing: There is no such study.
        ConfigError: It has trials running.
    """
    stored = load_stored(database, name)
    with database.write() as connection:
        running = (
            select(func.count())
            .select_from(ATTEMPTS)
            .where(
                ATTEMPTS.c.study_id == stored.study_id,
                ATTEMPTS.c.state == AttemptState.RUNNING,
                ATTEMPTS.c.expires_at > utc_now(),
            )
        )
        if connection.scalar(running):
            raise ConfigError(f"study {name!r} has trials running; `studyhall stop {name}` first")
        _study_rows.remove(connection, stored.study_id)
    files.remove(stored.trial_artifacts)
    files.remove(stored.files)


def collect_garbage(database: Database, *, dry_run: bool) -> Garbage:
    """Remove files of attempts that nothing refers to any more, and old records; only say so with `dry_run`."""
    places: list[str] = []
    for record in studies.list_studies(database):
        places += _unneeded(database, decoded(record))
    size = sum(_size(place) for place in places)
    gone = ~AGENTS.c.alive & (AGENTS.c.seen_at < utc_now(-FORGOTTEN_S))
    done = OPERATIONS.c.done_at < utc_now(-FORGOTTEN_S)
    with database.write() as connection:
        agents = connection.scalar(select(func.count()).select_from(AGENTS).where(gone)) or 0
        operations = connection.scalar(select(func.count()).select_from(OPERATIONS).where(done)) or 0
        if not dry_run:
            connection.execute(delete(AGENTS).where(gone))
            connection.execute(delete(OPERATIONS).where(done))
    if not dry_run:
        for place in places:
            files.remove(place)
    return Garbage(places, size, agents, operations)


def _unneeded(database: Database, stored: StoredStudy) -> list[str]:
    """Attempts' folders and artifacts to which no attempt that is running, waits or is kept refers."""
    found = _attempt_folders(stored.files)  # before the rows: an attempt that begins meanwhile has no folder here yet
    artifacts = [files.join(stored.trial_artifacts, name) for name in files.list_folder(stored.trial_artifacts)]
    with database.read() as connection:
        rows = connection.execute(
            select(ATTEMPTS.c.token, ATTEMPTS.c.weights, ATTEMPTS.c.state.label("own"), _optuna.TRIALS.c.state)
            .join(_optuna.TRIALS, _optuna.TRIALS.c.trial_id == ATTEMPTS.c.trial_id)
            .where(ATTEMPTS.c.study_id == stored.study_id)
        ).all()
    needed = {row.token for row in rows if row.weights or not row.state.is_finished()}
    shown = {row.token for row in rows if row.own in (AttemptState.RUNNING, AttemptState.FINISHED)}
    unneeded = [place for place in found if place.rpartition("-")[2] not in needed]
    return unneeded + [place for place in artifacts if place.rpartition("-")[2] not in shown]


def _attempt_folders(root: str) -> list[str]:
    return [
        files.join(root, trial, attempt)
        for trial in files.list_folder(root)
        if trial.startswith("trial-")
        for attempt in files.list_folder(files.join(root, trial))
    ]


def _size(place: str) -> int:
    found = [Path(place), *Path(place).rglob("*")]
    return sum(path.stat().st_size for path in found if path.is_file())


def backup_study(database: Database, name: str, to: Path) -> int:
    """Write a study to one file, beside its place and renamed; the number of its trials.

    Raises:
        FileExistsError: The file exists.
        StudyMissing: There is no such study.
    """
    if to.exists():
        raise FileExistsError(f"{to} exists; give another name")
    beside = to.absolute().with_name(f".{to.name}-{uuid.uuid4().hex[:8]}.db")
    try:
        target = Database(f"sqlite:///{beside}")
        trials = copy_study(database, target, name)
        with target.read() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        target.close()
        os.replace(beside, to)
    finally:
        for leftover in beside.parent.glob(f"{beside.name}*"):
            leftover.unlink()
    return trials


def restore_study(file: Path, url: str, as_name: str | None) -> tuple[str, int]:
    """Copy the study of a backup into a database; its name there and the number of its trials.

    Backups of earlier versions are accepted. The file stays as it is.

    Raises:
        ConfigError: The file is no backup of one study, or the database has a study of that name.
        SchemaError: A later version of Studyhall has written the file.
    """
    if not file.is_file():
        raise ConfigError(f"there is no backup {file}")
    target = Database(url)
    try:
        with _duplicate(file) as source:
            upgrade_tables(source)
            names = [record.name for record in studies.list_studies(source)]
            if len(names) != 1:
                raise ConfigError(f"{file} holds {len(names)} studies; a backup holds one")
            return as_name or names[0], copy_study(source, target, names[0], as_name=as_name)
    finally:
        target.close()


@contextmanager
def _duplicate(file: Path) -> Iterator[Database]:
    """A copy of an SQLite file that may be changed, gone at the end."""
    original = Database(f"sqlite:///{file.absolute()}")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / file.name
        try:
            # By SQLite, not as a file: some of the rows may still be in the log beside it.
            with original.read() as connection, closing(sqlite3.connect(copy)) as target:
                connection.connection.driver_connection.backup(target)  # type: ignore[union-attr]  # it is connected
        finally:
            original.close()
        database = Database(f"sqlite:///{copy}")
        try:
            yield database
        finally:
            database.close()
