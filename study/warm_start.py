"""What a new study takes from an older one: the best configurations as its first trials, ended trials as history."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from storage import studies
from storage._optuna import ENDED_IN, constraint_key
from storage._schema import upgrade_tables
from storage.database import Database
from storage.errors import ConfigError, DatabaseError
from storage.history import TrialRow, read_trials
from storage.studies import StudyRecord
from study._constraints import constraints_of
from study._explaining import shown
from study.leaders import leaders
from study.loading import validated
from study.plan import Facts, Plan, build_plan
from study.space import Space

ORIGIN = "origin"
"""Among a study's facts what it took from which study; a user attribute of each configuration: ``OLD/number``."""
TOP = 5
"""Configurations that are taken unless somebody says otherwise."""


@dataclass(frozen=True)
class Source:
    """Where a new study begins.

    Attributes:
        study: Name of the older study.
        top: So many of its best configurations are trained first, from 1.
        history: Whether its ended trials are taken too, for the sampler to learn from.
        storage: URL of the database that has it; None means that of the new study.
    """

    study: str
    top: int = TOP
    history: bool = False
    storage: str | None = None


@dataclass(frozen=True)
class WarmStart:
    """What is taken.

    Attributes:
        trials: To be added when the study is created.
        facts: What was done, JSON, for the new study's facts.
        lines: What somebody should know of it: what was left out, and why.
    """

    trials: Sequence[FrozenTrial] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[str] = ()


def warm_start(source: Source, database: Database, plan: Plan, facts: Facts) -> WarmStart:
    """Choose what a new study takes.

    Args:
        source: The older study.
        database: The new study's.
        plan, facts: The new study's.

    Raises:
        StudyMissing: There is no such study.
        DatabaseError: Its database is not there, or cannot be reached.
        ConfigError: It has no complete trial, or nothing in common with the new study's space.
    """
    with _place_of(source, database) as theirs:
        record = studies.load_study(theirs, source.study)
        rows = read_trials(theirs, record.study_id)
    old = _plan_of(record)
    best = leaders(rows, *old.directions)
    if not best:
        raise ConfigError(f"--from {source.study}: that study has no complete trial")
    taken, lines = _configurations(best, old.space, plan.space, source.top)
    if not taken:
        raise ConfigError(f"--from {source.study}: its space has nothing in common with this one")
    done: dict[str, Any] = {"study": record.name, "enqueued": list(taken)}
    past: list[FrozenTrial] = []
    if source.history:
        incomparable = _incomparable(record, old, plan, facts)
        past, why_not = ([], incomparable) if incomparable else _history(record.name, rows, old.space, plan)
        lines.append(f"history: {len(past)} of {len(rows)} trials are taken" + (f" ({why_not})" if why_not else ""))
        done["history"] = len(past)
    return WarmStart([*past, *(_waiting(record.name, *item) for item in taken.items())], done, lines)


def in_words(facts: Mapping[str, Any]) -> str | None:
    """What a study took, in one line, by its facts; None where it took nothing."""
    found = facts.get(ORIGIN)
    if found is None:
        return None
    past = f" and {found['history']} of its trials as history" if "history" in found else ""
    return f"began with the {len(found['enqueued'])} best of study {found['study']}{past}"


def is_history(row: TrialRow) -> bool:
    """Whether a trial ended in an older study."""
    return ENDED_IN in row.attributes


@contextmanager
def _place_of(source: Source, database: Database) -> Iterator[Database]:
    """The database that has the older study."""
    if source.storage is None:
        yield database
        return
    theirs = Database(source.storage)
    try:
        file = theirs.url.database
        if theirs.url.get_backend_name() == "sqlite" and not Path(str(file)).is_file():
            raise DatabaseError(f"--from-storage: there is no database {file}")
        upgrade_tables(theirs)
        yield theirs
    finally:
        theirs.close()


def _plan_of(record: StudyRecord) -> Plan:
    source = f"the configuration of study {record.name!r}"
    return build_plan(validated(record.config, default_name=record.name, source=source), Path(record.facts["folder"]))


def _configurations(
    best: Sequence[TrialRow], old: Space, new: Space, top: int
) -> tuple[dict[int, dict[str, Any]], list[str]]:
    """Different configurations of the new space by the older trial's number, and what had to be left out."""
    taken: dict[int, dict[str, Any]] = {}
    left_out: dict[str, list[int]] = {}
    for row in best:
        values = old.resolved(row.parameters)
        fitting = _fitting(values, new)
        if not fitting or fitting in taken.values():
            continue
        taken[row.number] = fitting
        for name in values:
            if (reason := _unfit(name, values[name], new)) is not None:
                left_out.setdefault(f"{name} {shown(values[name])} is left out: {reason}", []).append(row.number)
        if len(taken) == top:
            break
    return taken, [f"{text} ({_trials(numbers)})" for text, numbers in left_out.items()]


def _fitting(values: Mapping[str, Any], new: Space) -> dict[str, Any]:
    """Those of a trial's values that the new space searches and may have."""
    return {p.name: values[p.name] for p in new.searched if p.name in values and p.range.contains(values[p.name])}


def _unfit(name: str, value: Any, new: Space) -> str | None:
    """Why the new space cannot have this value, or None if it can."""
    if name in new.fixed:
        return None if new.fixed[name] == value else f"it is {shown(new.fixed[name])} here"
    parameter = next((parameter for parameter in new.parameters if parameter.name == name), None)
    if parameter is None:
        return "this space does not have it"
    return None if parameter.range.contains(value) else f"here it is {parameter.range}"


def _trials(numbers: Sequence[int]) -> str:
    return f"trial{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _waiting(study: str, number: int, parameters: Mapping[str, Any]) -> FrozenTrial:
    """A trial to enqueue, as ``study.enqueue_trial`` makes it."""
    fixed = {"fixed_params": dict(parameters)}
    return create_trial(state=TrialState.WAITING, system_attrs=fixed, user_attrs={ORIGIN: f"{study}/{number}"})


def _incomparable(record: StudyRecord, old: Plan, plan: Plan, facts: Facts) -> str:
    """Why no result of the older study means the same in the new one; empty if all do."""
    theirs, found = Facts.from_json(record.facts), []
    if plan.objectives != old.objectives:
        found.append(f"the objective is {_objectives(plan)} here, {_objectives(old)} there")
    if plan.config.training.epochs != old.config.training.epochs:
        found.append(f"training.epochs is {plan.config.training.epochs} here, {old.config.training.epochs} there")
    if facts.fingerprint != theirs.fingerprint or plan.config.data.split != old.config.data.split:
        found.append("the events or their split are others")
    if facts.code != theirs.code:
        found.append("the code of a family or of the task has changed")
    return "; ".join(found)


def _objectives(plan: Plan) -> str:
    return ", ".join(map(str, plan.objectives))


def _history(study: str, rows: Sequence[TrialRow], old: Space, plan: Plan) -> tuple[list[FrozenTrial], str]:
    """The trials that the new study could have made itself, and how many others there are, by reason."""
    past: list[FrozenTrial] = []
    reasons: Counter[str] = Counter()
    for row in rows:
        if row.state not in (TrialState.COMPLETE, TrialState.PRUNED):
            reasons["failed" if row.state is TrialState.FAIL else "have not ended"] += 1
        elif (same := _same_training(row, old, plan.space)) is None:
            reasons["do not fit the new space"] += 1
        else:
            past.append(_ended(study, row, same, plan))
    return past, ", ".join(f"{count} {reason}" for reason, count in reasons.items())


def _same_training(row: TrialRow, old: Space, new: Space) -> FixedTrial | None:
    """The new space's parameters and distributions for what the trial trained; None where it does not allow it."""
    try:
        values = old.resolved(row.parameters)
        fixed = FixedTrial(_fitting(values, new))
        return fixed if new.resolved(new.sample(fixed)) == values else None
    except (KeyError, ValueError):  # another program's trial lacks parameters; or the new space asks for more
        return None


def _ended(study: str, row: TrialRow, same: FixedTrial, plan: Plan) -> FrozenTrial:
    constraints = constraints_of(plan.config.constraints, row.attributes)
    # One that was infeasible, but by none of these, was so by its memory.
    if row.failure == "oom" or (row.failure == "infeasible" and all(value <= 0 for value in constraints.values())):
        constraints["memory"] = 1.0
    return FrozenTrial(
        number=row.number,
        state=row.state,
        value=None,
        values=list(row.all_values) or None,
        datetime_start=_aware(row.started_at),
        datetime_complete=_aware(row.ended_at),
        params=same.params,
        distributions=same.distributions,
        user_attrs={ENDED_IN: f"{study}/{row.number}", **row.attributes},
        system_attrs={constraint_key(name): value for name, value in constraints.items()},
        intermediate_values=dict(row.values),
        trial_id=row.trial_id,
    )


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
