"""What a study's configuration means: its task, families, space and metric, looked up by their names."""

import dataclasses
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

from models._family import Family, families, load_family
from objectives._task import Direction, TaskKind, load_task
from storage.errors import ConfigError
from study._constraints import MEASURED
from study._explaining import mistakes, one_per_line, option_explanations, shown
from study._objectives import Objective, find_objectives, hint
from study.config import StudyConfig
from study.search import METRIC, PRUNER, make_pruner, make_sampler
from study.space import Space, build_space, chosen_models

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """A configuration with its names looked up.

    Attributes:
        folder: What the configuration's relative paths refer to.
        kind: The kind of task.
        options: The task's options, an instance of ``kind.options``.
        objectives: At least one; the first is a metric of the task.
    """

    config: StudyConfig
    folder: Path
    kind: TaskKind[Any]
    options: Any
    space: Space
    objectives: tuple[Objective, ...]

    @property
    def metric(self) -> str:
        """The first objective: a trial's best epoch is the one with the best value of it."""
        return self.objectives[0].name

    @property
    def direction(self) -> Direction:
        """Which way the first objective is better."""
        return self.objectives[0].direction

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Which way each objective is better."""
        return tuple(objective.direction for objective in self.objectives)

    @property
    def measures_latency(self) -> bool:
        """Whether each network's latency is measured: an objective or a constraint needs it."""
        limited = self.config.constraints.max_latency_ms is not None
        return limited or any(objective.name == MEASURED for objective in self.objectives)

    @property
    def data_path(self) -> Path:
        """The data file, absolute."""
        return self.folder / Path(self.config.data.path).expanduser()

    @property
    def pixels_path(self) -> Path | None:
        """The map that makes images of hits, absolute; None where the file holds images."""
        given = self.config.data.pixels
        return None if given is None else self.folder / Path(given).expanduser()

    @property
    def split_path(self) -> Path | None:
        """The file that gives the split, absolute; None where fractions do."""
        given = self.config.data.split.file
        return None if given is None else self.folder / Path(given).expanduser()


def build_plan(config: StudyConfig, folder: Path) -> Plan:
    """Look up every name in the configuration.

    Raises:
        ConfigError: A task, metric, family, hyperparameter, sampler or pruner is unknown or does not fit; all of
            them, one per line.
    """
    found: list[str] = []
    options: Any = None
    objectives: tuple[Objective, ...] = ()
    with mistakes(found):
        kind = _loaded("objective", lambda: load_task(config.objective.name, folder=folder))
    if not found:
        with mistakes(found):
            options = _options(config, kind)
        with mistakes(found):
            objectives = _objectives(config, kind)
    with mistakes(found):
        make_pruner(config)
    with mistakes(found):
        space = build_space(config.space, _chosen(config, folder))
        make_sampler(config, 0, space)
    if found:
        raise ConfigError(found[0] if len(found) == 1 else one_per_line("the study", found))
    return Plan(config, folder, kind, options, space, objectives)


def _chosen(config: StudyConfig, folder: Path) -> dict[str, Family[Any]]:
    names = chosen_models(config.space, list(families()))
    return {name: _loaded("space.model", partial(load_family, name, folder=folder)) for name in names}


def _objectives(config: StudyConfig, kind: TaskKind[Any]) -> tuple[Objective, ...]:
    several = config.study.metrics
    key = "study.metric" if several is None else "study.metrics"
    found = find_objectives(several or [config.study.metric or kind.default_metric], kind, key)
    for name in config.budget.until or {}:
        if name not in kind.metrics:
            accepted = ", ".join(kind.metrics)
            near = hint(name, kind.metrics)
            raise ConfigError(f"budget.until is {name}; {near}Objective {kind.name} has: {accepted}")
    if config.training.class_weights is not None and not kind.classification:
        raise ConfigError(f"training.class_weights is given, but objective {kind.name} has no classes; take it out")
    _check_pruned_by(config, found)
    return found


def _check_pruned_by(config: StudyConfig, objectives: Sequence[Objective]) -> None:
    chosen, first = config.search.pruner, objectives[0].name
    given = chosen.options.get(METRIC)
    if given is None and len(objectives) > 1 and chosen.name != "none":
        raise ConfigError(
            f"{PRUNER} is {chosen.name}, but the study has {len(objectives)} objectives; leave it out to prune "
            f"nothing, or say that it prunes by the first: {{name: {chosen.name}, {METRIC}: {first}}}"
        )
    if given is not None and given != first:
        raise ConfigError(f"{PRUNER}.{METRIC} is {shown(given)}; trials are pruned by the first objective, {first}")


def _options(config: StudyConfig, kind: TaskKind[Any]) -> Any:
    given = config.objective.options
    accepted = [field.name for field in dataclasses.fields(kind.options)]
    for name in given:
        if name not in accepted:
            names = ", ".join(accepted) or "none"
            raise ConfigError(f"unknown key objective.{name}; {hint(name, accepted)}Options of {kind.name}: {names}")
    try:
        return TypeAdapter(kind.options).validate_python(given)
    except ValidationError as error:
        raise ConfigError("\n  ".join(option_explanations(error, "objective"))) from None
    except PydanticSchemaGenerationError:  # a user's own types
        return _loaded("objective", lambda: kind.options(**given))


def _loaded(key: str, load: Callable[[], T]) -> T:
    """What a plug-in gives; whatever its own code raises is the user's to mend."""
    try:
        return load()
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from None
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = "" if isinstance(error, SyntaxError) else f" ({last.filename}, line {last.lineno})"
        raise ConfigError(f"{key}: {type(error).__name__}: {error}{place}") from error
