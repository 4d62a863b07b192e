"""Change the search space of a study that exists; its trials stay, and samplers learn from them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from storage.agents import user_and_host
from storage.database import Database
from storage.errors import ConfigError
from storage.history import read_trials
from storage.spaces import change_space, preview
from storage.studies import Change
from study._explaining import shown
from study._rewriting import Rewriting
from study.config import CHANGEABLE, StudyConfig
from study.confirmation.link import confirmed_study
from study.goals import goal_reached
from study.loading import changed_space, load_config
from study.plan import Plan, build_plan
from study.stored import StoredStudy, check_workable, differences, load_stored

SPACE, NAME = "space", "study.name"


@dataclass(frozen=True)
class Migration:
    """What was, or would be, done.

    Attributes:
        changes: Keys of the space, before and after.
        rewritten: Trials whose stored parameters change; the values that they were trained with do not.
        outside: By parameter, trials whose value lies outside of the new range.
        done: False for a dry run.
    """

    changes: Sequence[Change]
    rewritten: int
    outside: Mapping[str, int]
    done: bool

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


def migrate(
    database: Database, name: str, study_file: Path | None, sets: Sequence[str], *, dry_run: bool = False
) -> Migration:
    """Give a study the space of a study file, or its own with some keys set.

    Args:
        study_file: None means the stored configuration.
        sets: ``space.NAME=value``; with a file as everywhere.
        dry_run: Only say what would change.

    Raises:
        StudyMissing: There is no such study.
        ConfigError: The file differs in other keys, the space cannot be accepted, a trial could not be rebuilt in it,
            or an agent is at work.
    """
    stored = load_stored(database, name)
    before, after = _plans(stored, _wanted(stored, study_file, sets))
    changes = [
        Change(f"{SPACE}.{key}", before.config.space.get(key), after.config.space.get(key))
        for key in sorted({*before.config.space, *after.config.space})
        if before.config.space.get(key) != after.config.space.get(key)
    ]
    rewriting = Rewriting(before.space, after.space)
    if dry_run or not changes:
        rewritten = len(preview(database, stored.study_id, rewriting)) if changes else 0
        return Migration(changes, rewritten, dict(rewriting.outside), done=False)
    check_workable(after, stored.facts)
    rewritten = change_space(
        database,
        stored.record,
        after.config.space,
        changes,
        rewriting,
        goal_reached=goal_reached(after, read_trials(database, stored.study_id)),
        alive_s=stored.config.lease.seconds,
        changed_by=user_and_host(),
    )
    return Migration(changes, rewritten, dict(rewriting.outside), done=True)


def _wanted(stored: StoredStudy, study_file: Path | None, sets: Sequence[str]) -> Mapping[str, Any]:
    """The new `space` section."""
    if study_file is None:
        if not sets:
            raise ConfigError("give a study file with the new space, or --set space.NAME=value")
        return changed_space(stored.config.space, sets)
    config, _ = load_config(study_file, sets)
    _check_others(stored, config)
    return config.space


def _check_others(stored: StoredStudy, config: StudyConfig) -> None:
    """Refuse a file that differs in what neither this nor a launch changes."""
    changes = differences(stored.config.to_json(), config.to_json())
    free = (*CHANGEABLE, SPACE)
    refused = [change for change in changes if change.key.partition(".")[0] not in free and change.key != NAME]
    if refused:
        lines = [f"  {c.key}: {shown(c.old)} in the database, {shown(c.new)} given" for c in refused]
        raise ConfigError(
            f"only the space of study {stored.name!r} can be migrated, and the file differs in more:\n"
            + "\n".join(lines)
            + "\nTake these back, or start a study of another name; "
            f"{', '.join(CHANGEABLE)} are changed by a launch"
        )


def _plans(stored: StoredStudy, space: Mapping[str, Any]) -> tuple[Plan, Plan]:
    of = confirmed_study(stored.record.facts)
    if of is not None:
        raise ConfigError(f"study {stored.name!r} is the confirmation of {of!r} and searches nothing")
    config = stored.config.model_copy(update={SPACE: dict(space)})
    return build_plan(stored.config, stored.folder), build_plan(config, stored.folder)
