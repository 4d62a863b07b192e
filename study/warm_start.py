"""What a new study takes from an older one: the best configurations as its first trials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from storage import studies
from storage.database import Database
from storage.errors import ConfigError
from storage.history import TrialRow, read_trials
from storage.studies import StudyRecord
from study._explaining import shown
from study.leaders import leaders
from study.loading import validated
from study.plan import Plan, build_plan
from study.space import Space

ORIGIN = "origin"
"""Among a study's facts what it took from which study; a user attribute of each trial that it took: ``OLD/number``."""
TOP = 5
"""Configurations that are taken unless somebody says otherwise."""


@dataclass(frozen=True)
class Source:
    """Where a new study begins.

    Attributes:
        study: Name of the older study.
        top: So many of its best configurations are trained first, from 1.
    """

    study: str
    top: int = TOP


@dataclass(frozen=True)
class WarmStart:
    """What is taken.

    Attributes:
        trials: To be added when the study is created.
        facts: What was done, JSON, for the new study's facts.
        lines: What somebody should know of it: what was left out.
    """

    trials: Sequence[FrozenTrial] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[str] = ()


def warm_start(source: Source, database: Database, plan: Plan) -> WarmStart:
    """Choose what a new study takes.

    Args:
        source: The older study.
        database: Where it is.
        plan: The new study's.

    Raises:
        StudyMissing: There is no such study.
        ConfigError: It has no complete trial, or nothing in common with the new study's space.
    """
    record = studies.load_study(database, source.study)
    old, rows = _plan_of(record), read_trials(database, record.study_id)
    best = leaders(rows, *old.directions)
    if not best:
        raise ConfigError(f"--from {source.study}: that study has no complete trial")
    taken, lines = _configurations(best, old.space, plan.space, source.top)
    if not taken:
        raise ConfigError(f"--from {source.study}: its space has nothing in common with this one")
    facts = {"study": record.name, "enqueued": list(taken)}
    return WarmStart([_waiting(record.name, *item) for item in taken.items()], facts, lines)


def in_words(facts: Mapping[str, Any]) -> str | None:
    """What a study took, in one line, by its facts; None where it took nothing."""
    found = facts.get(ORIGIN)
    return None if found is None else f"began with the {len(found['enqueued'])} best of study {found['study']}"


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
