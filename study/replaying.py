"""A study's recorded curves under other pruners, side by side with what its own did."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import TrialState

from storage.database import Database
from storage.epochs import read_epochs
from storage.errors import ConfigError
from storage.history import TrialRow, read_trials
from storage.timeline import Spell, last_attempts
from study._deciders import make_decider
from study._yaml import parse_yaml
from study.config import NamedSection
from study.loading import validated
from study.replay import Course, End, Replay, Verdict, judge, replay
from study.search import pauses
from study.stored import StoredStudy, load_stored

MOST_ATTEMPTS = 10_000_000


@dataclass(frozen=True)
class Recorded:
    """A study as it was recorded.

    Attributes:
        courses: Its trials that began, in that order; those of other Optuna programs are left out.
        slots: The most attempts that ran at the same time, at least 1.
        left_out: Trials of other Optuna programs, which have no times of epochs.
    """

    stored: StoredStudy
    courses: Sequence[Course]
    slots: int
    left_out: int

    @property
    def epochs(self) -> int:
        """Trained together."""
        return sum(len(course.values) for course in self.courses)

    @property
    def device_s(self) -> float:
        """Seconds of all devices."""
        return sum(course.seconds_until(len(course.values)) for course in self.courses)

    @property
    def stopped(self) -> int:
        """Trials that its own pruner stopped."""
        return sum(course.end is End.STOPPED for course in self.courses)

    @property
    def open(self) -> int:
        """Trials that have not ended."""
        return sum(course.end is End.OPEN for course in self.courses)


@dataclass(frozen=True)
class Replayed:
    """One pruner's replay.

    Attributes:
        pruner: Its name and options, as in a study file.
        agrees: Trials that it ends after the same epoch, and in the same way, as the study's own pruner did.
        verdict: None without a complete trial to judge by.
        pauses: Whether it would pause the trials that are stopped here.
    """

    pruner: NamedSection
    replay: Replay
    agrees: int
    verdict: Verdict | None
    pauses: bool

    @property
    def title(self) -> str:
        """The pruner in a few words."""
        options = ", ".join(f"{key}={value}" for key, value in self.pruner.options.items())
        return f"{self.pruner.name} ({options})" if options else self.pruner.name


@dataclass(frozen=True)
class Replays:
    """Several pruners over one study."""

    recorded: Recorded
    workers: int
    pruners: Sequence[Replayed]

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        recorded = self.recorded
        verdict = judge(recorded.courses, frozenset(), recorded.stored.direction)
        return {
            "study": recorded.stored.name,
            "metric": recorded.stored.metric,
            "direction": recorded.stored.direction,
            "workers": self.workers,
            "recorded": {
                "pruner": recorded.stored.config.search.pruner.model_dump(mode="json"),
                "trials": len(recorded.courses),
                "left_out": recorded.left_out,
                "stopped": recorded.stopped,
                "open": recorded.open,
                "epochs": recorded.epochs,
                "device_seconds": round(recorded.device_s, 3),
                "verdict": None if verdict is None else dataclasses.asdict(verdict),
            },
            "pruners": [self._pruner(one) for one in self.pruners],
        }

    def _pruner(self, one: Replayed) -> dict[str, Any]:
        found, recorded = one.replay, self.recorded
        return {
            "pruner": one.pruner.model_dump(mode="json"),
            "stopped": {str(number): found.trained[number] for number in sorted(found.stopped)},
            "censored": sorted(found.censored),
            "agrees": one.agrees,
            "pauses": one.pauses,
            "epochs": found.epochs,
            "epochs_saved": recorded.epochs - found.epochs,
            "device_seconds": round(found.device_s, 3),
            "device_seconds_saved": round(recorded.device_s - found.device_s, 3),
            "wall_seconds": round(found.wall_s, 3),
            "verdict": None if one.verdict is None else dataclasses.asdict(one.verdict),
        }


def replay_study(
    database: Database, name: str, given: Sequence[str] = (), sets: Sequence[str] = (), workers: int | None = None
) -> Replays:
    """Run pruners over a study's recorded curves.

    Args:
        given: Pruners as in a study file, ``median`` or ``{name: asha, reduction_factor: 4}``; none means the study's.
        sets: ``option=value`` of the one pruner.
        workers: Trials that run at the same time; None means as many as the study had.

    Raises:
        StudyMissing: There is no study of that name.
        ConfigError: A pruner or option is none, or no epoch is recorded.
    """
    stored = load_stored(database, name)
    chosen = _chosen(stored, given, sets)
    found = recorded(database, stored)
    if not found.epochs:
        raise ConfigError(f"study {name!r} has recorded no epoch yet, so there is nothing to replay")
    slots = workers or found.slots
    return Replays(found, slots, [_replayed(found, study, slots) for study in chosen])


def _replayed(found: Recorded, study: StoredStudy, slots: int) -> Replayed:
    courses = found.courses
    count = 1 + max(course.number for course in courses)
    decider = make_decider(study, study.name, count)
    run = replay(courses, decider, slots=slots, epochs=study.config.training.epochs)
    agrees = sum(_as_recorded(course, run) for course in courses)
    verdict = judge(courses, run.stopped, study.direction)
    return Replayed(study.config.search.pruner, run, agrees, verdict, pauses(study.config))


def _as_recorded(course: Course, run: Replay) -> bool:
    stopped = course.number in run.stopped
    return run.trained[course.number] == len(course.values) and stopped == (course.end is End.STOPPED)


def _chosen(stored: StoredStudy, given: Sequence[str], sets: Sequence[str]) -> list[StoredStudy]:
    """The study with each of the pruners in place of its own."""
    if sets and len(given) > 1:
        raise ConfigError('--set is for one --pruner; of several give each its options: --pruner "{name: asha, …}"')
    own = stored.config.search.pruner
    trees = [_tree(parse_yaml(text, f"--pruner {text}")) for text in given] or [_tree(own.model_dump(mode="json"))]
    options = dict(_option(text) for text in sets)
    return [_with(stored, tree | options if isinstance(tree, dict) else tree) for tree in trees]


def _tree(pruner: Any) -> Any:
    if pruner is None:
        raise ConfigError("--pruner needs a name, for example --pruner median; none is a name")
    return {"name": pruner} if isinstance(pruner, str) else pruner


def _with(stored: StoredStudy, pruner: Any) -> StoredStudy:
    tree = stored.config.to_json()
    tree["search"] = tree["search"] | {"pruner": pruner}
    return dataclasses.replace(stored, config=validated(tree, default_name=stored.name, source="--pruner"))


def _option(text: str) -> tuple[str, Any]:
    key, _, value = text.partition("=")
    key = key.strip().removeprefix("search.pruner.")
    if not key or not value.strip():
        raise ConfigError(f"--set {text!r} is not option=value, for example --set reduction_factor=4")
    return key, parse_yaml(value, f"--set {text}")


def recorded(database: Database, stored: StoredStudy) -> Recorded:
    """Read what a study has recorded of its curves and times."""
    rows = read_trials(database, stored.study_id)
    begun = sorted(
        (row for row in rows if row.ours and row.started_at is not None), key=lambda row: (row.started_at, row.number)
    )
    epochs = read_epochs(database, [row.trial_id for row in begun])
    slots = _most_at_once(last_attempts(database, stored.study_id, MOST_ATTEMPTS))
    courses = [_course(row, epochs.get(row.trial_id, [])) for row in begun]
    return Recorded(stored, courses, slots, sum(not row.ours for row in rows))


def _course(row: TrialRow, epochs: Sequence[Mapping[str, Any]]) -> Course:
    known = {int(epoch["epoch"]): epoch.get("seconds") for epoch in epochs}
    # An epoch whose time is not recorded counts as an even share of the trial.
    share = row.seconds / max(1, len(row.values))
    seconds = [share if known.get(epoch) is None else float(known[epoch] or 0.0) for epoch in row.values]
    return Course(
        number=row.number,
        values=list(row.values.values()),
        seconds=seconds,
        ahead_s=max(0.0, row.seconds - sum(seconds)),
        end=_end(row),
        value=row.value if row.state is TrialState.COMPLETE else None,
        lot=row.trial_id,
    )


def _end(row: TrialRow) -> End:
    if not row.state.is_finished():
        return End.OPEN
    if row.state is TrialState.COMPLETE and row.value is not None:
        return End.COMPLETE
    return End.STOPPED if row.state is TrialState.PRUNED and row.failure is None else End.FAILED


def _most_at_once(attempts: Sequence[Spell]) -> int:
    """How many attempts ran at the same time, at most; one that ends as another begins makes room for it."""
    changes = [(attempt.started_at.timestamp(), 1) for attempt in attempts]
    changes += [(attempt.started_at.timestamp() + attempt.seconds, -1) for attempt in attempts]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return max(1, most)
