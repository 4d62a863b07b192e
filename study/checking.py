"""What a study file comes to, before anything is run."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models._hyperparameters import Choice, Hyperparameter, Range
from objectives._events import Events
from objectives._source import FileSource
from storage.errors import ConfigError
from study._constraints import limits_of
from study._explaining import shown
from study._space import MODEL, Space
from study.costs import Cost, build_defaults, family_costs
from study.goals import limits
from study.loading import load_config
from study.plan import Facts, Plan, build_plan, gather_facts, open_data

DRAWS = 4
"""Random configurations that are dry-run for each family, beside its defaults."""
EVALUATION_COST = 1 / 3
"""An evaluated event costs about a third of a trained one: forward without backward."""


@dataclass(frozen=True)
class FamilyCost:
    """What trials of one family cost, over the dry-run configurations.

    Attributes:
        parameters: Median number of weights.
        epoch_s: Median seconds for an epoch on one core.
        worst_epoch_s: The slowest's.
        trial_s: Median seconds of a trial that is not stopped early.
        memory_mb: The largest's.
    """

    family: str
    parameters: int
    epoch_s: float
    worst_epoch_s: float
    trial_s: float
    memory_mb: float


@dataclass(frozen=True)
class CheckReport:
    """A valid study file.

    Attributes:
        objectives: All, with their directions; `metric` and `direction` are those of the first.
        constraints: What a network may cost.
        events: By part of the split.
        data_mb: Of the training and validation events, which each host holds once.
        trials: The budget; None without a limit.
        ends: All that may end the search, in words.
        study_s: Core seconds of all trials if none is stopped early and families are drawn alike; None without a limit.
        searched: Name, range, condition and meaning of each searched hyperparameter.
        fixed: Values of the others.
        unused: Names in the file that can never count.
    """

    name: str
    objective: str
    metric: str
    direction: str
    objectives: Sequence[str]
    constraints: Sequence[str]
    events: Mapping[str, int]
    data_mb: float
    trials: int | None
    ends: Sequence[str]
    study_s: float | None
    searched: Sequence[Mapping[str, str]]
    fixed: Mapping[str, Any]
    unused: Sequence[str]
    costs: Sequence[FamilyCost]

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


def check_study(path: Path, sets: Sequence[str]) -> CheckReport:
    """Validate a study file against its data, and dry-run one batch of each family.

    Raises:
        ConfigError: The file or one of its values cannot be accepted, or a family cannot be built.
        DataError: The data cannot be used.
    """
    config, folder = load_config(path, sets)
    plan = build_plan(config, folder)
    dataset = open_data(plan)
    facts = gather_facts(plan, dataset)
    for name, failure in build_defaults(plan, facts).items():
        raise ConfigError(f"space.model {name}: {failure}")
    rows = dataset.split.training
    training = Events(FileSource(dataset.file, rows), dataset.targets[rows], dataset.axes)
    costs = family_costs(plan, facts, training, draws=DRAWS)
    families = [_family_cost(plan, facts, name, found) for name, found in costs.items()]
    trials = config.budget.trials
    held = facts.events["training"] + facts.events["validation"]
    return CheckReport(
        name=config.name,
        objective=plan.kind.name,
        metric=plan.metric,
        direction=plan.direction,
        objectives=[str(objective) for objective in plan.objectives],
        constraints=[str(limit) for limit in limits_of(config.constraints)],
        events=facts.events,
        data_mb=round(held * math.prod(facts.shape) * dataset.file.dtype.itemsize / 2**20, 1),
        trials=trials,
        ends=list(limits(config.budget)),
        study_s=None if trials is None else trials * statistics.mean(cost.trial_s for cost in families),
        searched=[described(plan.space, parameter) for parameter in plan.space.searched],
        fixed=plan.space.fixed,
        unused=plan.space.unused,
        costs=families,
    )


def _family_cost(plan: Plan, facts: Facts, name: str, found: Sequence[Cost]) -> FamilyCost:
    events = facts.events["training"] + EVALUATION_COST * facts.events["validation"]
    seconds = [events / cost.events_per_second for cost in found]
    median = statistics.median(seconds)
    return FamilyCost(
        family=name,
        parameters=int(statistics.median(cost.parameters for cost in found)),
        epoch_s=median,
        worst_epoch_s=max(seconds),
        trial_s=median * plan.config.training.epochs,
        memory_mb=max(cost.memory_mb for cost in found),
    )


def described(space: Space, parameter: Hyperparameter) -> dict[str, str]:
    """A searched hyperparameter in words: name, range, when it is searched, and its help."""
    possible = {item.name: item.range for item in space.searched}
    conditions = {name: values for name, values in space.conditions(parameter).items() if name in possible}
    when = "; ".join(
        f"{name} {' | '.join(_text(value) for value in values if possible[name].contains(value))}"
        for name, values in conditions.items()
        # A family's own parameters show by their prefix which it is.
        if name != MODEL or "." not in parameter.name
    )
    return {"name": parameter.name, "range": _in_words(parameter.range), "when": when, "help": parameter.help}


def _in_words(range_: Range) -> str:
    if isinstance(range_, Choice):
        return " | ".join(_text(option) for option in range_.options)
    step = f" by {range_.step}" if range_.step not in (None, 1) else ""
    return f"{range_.low:g} … {range_.high:g}{step}{', log' if range_.log else ''}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)
