"""A study as the database keeps it: create it, load it, change what may change."""

import json
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from objectives._task import Direction
from storage import studies
from storage._schema import upgrade_tables
from storage.agents import user_and_host
from storage.database import Database
from storage.errors import ConfigError
from storage.files import is_remote, join
from storage.history import read_trials
from storage.studies import Budget, Change, StudyRecord
from storage.tables import StudyState
from study._ingestion import ingested
from study._objectives import Objective
from study.config import CHANGEABLE, StudyConfig, flatten
from study.goals import goal_reached
from study.loading import validated
from study.plan import Facts, Plan, check_fingerprint, gather_facts, open_data
from study.warm_start import ORIGIN, Source, WarmStart, warm_start

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredStudy:
    """A study's record with its parts decoded.

    Attributes:
        folder: What relative paths of the configuration refer to.
        files: Folder, or fsspec URL, for weights and checkpoints.
        objectives: As `Plan.objectives`.
    """

    record: StudyRecord
    config: StudyConfig
    facts: Facts
    folder: Path
    files: str
    objectives: tuple[Objective, ...]

    @property
    def metric(self) -> str:
        """As `Plan.metric`."""
        return self.objectives[0].name

    @property
    def direction(self) -> Direction:
        """As `Plan.direction`."""
        return self.objectives[0].direction

    @property
    def directions(self) -> tuple[Direction, ...]:
        """As `Plan.directions`."""
        return tuple(objective.direction for objective in self.objectives)

    @property
    def artifacts(self) -> Path:
        """Folder for logs: ``artifacts.dir``, else that of the weights."""
        folder = self.config.artifacts.dir
        if folder is not None:
            return self.folder / Path(folder).expanduser() / self.name
        return Path.cwd() / "studyhall-files" / self.name if is_remote(self.files) else Path(self.files)

    @property
    def trial_artifacts(self) -> str:
        """Folder, or fsspec URL, for what each trial carries: in ``artifacts.dir``, else in that of the weights."""
        given = self.config.artifacts.dir
        return join(self.files if given is None else str(self.artifacts), "artifacts")

    @property
    def study_id(self) -> int:
        """Optuna's id."""
        return self.record.study_id

    @property
    def name(self) -> str:
        """The study's name."""
        return self.record.name


def load_stored(database: Database, name: str) -> StoredStudy:
    """The study of that name.

    Raises:
        StudyMissing: There is none.
    """
    return decoded(studies.load_study(database, name))


def decoded(record: StudyRecord) -> StoredStudy:
    """A record with its parts decoded."""
    config = validated(record.config, default_name=record.name, source=f"the configuration of study {record.name!r}")
    facts = Facts.from_json(record.facts)
    folder, files = Path(record.facts["folder"]), record.facts["files"]
    first = {"name": record.facts["metric"], "direction": record.facts["direction"]}
    objectives = tuple(Objective(**tree) for tree in record.facts.get("objectives", [first]))
    return StoredStudy(record, config, facts, folder, files, objectives)


def create_or_update(
    url: str, plan: Plan, *, source: Source | None = None, tell: Callable[[str], None] = logger.info
) -> bool:
    """Create the study, or apply the changes that are allowed to one that exists; whether it was created.

    Args:
        source: The older study that a new one begins with; one that exists takes nothing.
        tell: Called with what somebody should know of that, a line at a time.

    Raises:
        ConfigError: It exists with another configuration; the message names the keys and the command that helps. Or
            there is nothing to take from the older study.
        StudyMissing: There is no such older study.
        DataError: The data cannot be used, or are not those the study was created with.
    """
    config = plan.config
    dataset = ingested(plan, open_data(plan))
    database = Database(url)
    try:
        upgrade_tables(database)
        known = {record.name: record for record in studies.list_studies(database)}
        if config.name in known:
            stored = decoded(known[config.name])
            check_fingerprint(plan, stored.facts, dataset)
            _update(database, stored, plan)
            resume(database, stored)
            _tell_late(source, stored.record, tell)
            return False
        facts = gather_facts(plan, dataset)
        check_workable(plan, facts)
        taken = WarmStart() if source is None else warm_start(source, database, plan, facts)
        where = {
            "folder": str(plan.folder),
            "files": files_folder(database, plan),
            "metric": plan.metric,
            "direction": plan.direction,
            "objectives": [asdict(objective) for objective in plan.objectives],
        }
        created = studies.create_study(
            url,
            config.name,
            directions=plan.directions,
            metric_names=[objective.name for objective in plan.objectives],
            config=config.to_json(),
            facts=facts.to_json() | where | ({ORIGIN: taken.facts} if taken.facts else {}),
            budget=budget_of(config),
            trials=taken.trials,
        )
        for line in taken.lines if created else ():
            tell(line)
        if not created:  # another launch was first
            _update(database, load_stored(database, config.name), plan)
        return created
    finally:
        database.close()


def _tell_late(source: Source | None, record: StudyRecord, tell: Callable[[str], None]) -> None:
    if source is not None and record.facts.get(ORIGIN, {}).get("study") != source.study:
        tell(f"study {record.name!r} exists and takes nothing from {source.study!r}: only a new study does")


def files_folder(database: Database, plan: Plan) -> str:
    """Where a study's weights and checkpoints go: beside the SQLite file unless the study file says otherwise.

    Elsewhere studies of several databases may meet, so the name alone would not do.
    """
    given, name = plan.config.checkpoint.dir, f"{plan.config.name}-{uuid.uuid4().hex[:8]}"
    if given is not None and is_remote(given):
        return join(given, name)
    if given is not None:
        return str((plan.folder / Path(given).expanduser() / name).absolute())
    if database.url.get_backend_name() == "sqlite":
        file = Path(str(database.url.database))
        return str(file.with_name(f"{file.stem}-files") / plan.config.name)
    return str(Path.cwd() / "studyhall-files" / name)


def budget_of(config: StudyConfig) -> Budget:
    """The budget as the database enforces it."""
    hours = config.budget.gpu_hours
    return Budget(config.budget.trials, None if hours is None else hours * 3600.0, config.budget.wall_time)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Leaves in which two configurations differ, by dotted key."""
    before, after = flatten(old), flatten(new)
    return [
        Change(key, before.get(key), after.get(key))
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


def _space_too(name: str, refused: Sequence[Change]) -> str:
    spaces = all(change.key.partition(".")[0] == "space" for change in refused)
    return f" here, the space by `studyhall migrate {name} STUDY.yaml`, which keeps the trials" if spaces else ""


def _update(database: Database, stored: StoredStudy, plan: Plan) -> None:
    changes = differences(stored.config.to_json(), plan.config.to_json())
    if not changes:
        return
    refused = [change for change in changes if change.key.partition(".")[0] not in CHANGEABLE]
    if refused:
        lines = [f"  {c.key}: {json.dumps(c.old)} in the database, {json.dumps(c.new)} given" for c in refused]
        raise ConfigError(
            f"study {stored.name!r} exists with another configuration:\n"
            + "\n".join(lines)
            + f"\nOnly {', '.join(CHANGEABLE)} may change{_space_too(stored.name, refused)}. To search with the new "
            f"one, start a study of another name: studyhall launch … --set study.name={stored.name}-2"
        )
    rows = read_trials(database, stored.study_id)
    studies.change_config(
        database,
        stored.study_id,
        plan.config.to_json(),
        changes,
        budget_of(plan.config),
        goal_reached=goal_reached(plan, rows),
        changed_by=user_and_host(),
    )


def resume(database: Database, stored: StoredStudy) -> None:
    """A launch is somebody's wish that the study runs, also when it had been paused or stopped."""
    if stored.record.state is not StudyState.RUNNING:
        studies.set_state(database, stored.study_id, StudyState.RUNNING)


def check_workable(plan: Plan, facts: Facts) -> None:
    """Build each family once, so that a mistake shows before the first trial."""
    from study.costs import build_defaults

    for name, failure in build_defaults(plan, facts).items():
        raise ConfigError(f"space.model {name!r}: {failure}")
