"""Which hyperparameters mattered: PED-ANOVA with uncertainties, and what cannot be told from chance.

The importance of a parameter is how much the density of its values in the best tenth of the trials differs from that
in all trials, as a share of the sum over all parameters: Optuna's default. Its uncertainty is the standard deviation
over trials drawn with replacement. Shares alone mislead: some parameter always has the greatest, and where TPE proposes
the one that matters was first in two studies of three only. So each parameter is tested (`study._effects`), given all
others, and those come first that can be told from chance; in one study of twenty, one is named that does not matter.

**Which trials count.** Complete and pruned ones: where four of five are stopped early, the complete ones alone are
those that did well, and what made the others bad would not be seen. Complete trials are ranked by their value, then
pruned ones by the epochs that they reached and by their best value; a diverged one (``nan``) is the last. Trials that
failed, or that were out of memory, tell nothing of quality. ``benchmarks/importance.py`` measures all this.

**Which parameters.** A model family's own are conditional, so they are judged among the trials of that family; what
all families share, and the family itself, among all trials.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState

from objectives._task import Direction
from storage.database import Database
from storage.distributions import read_distributions
from storage.history import TrialRow
from study._best_region import region
from study._effects import needed, told_from_chance
from study._objectives import Objective
from study._ped_anova import Column, column_of, divergences

QUANTILE = 0.1
"""The best trials are a tenth."""
LEAST_TRIALS = 30
"""With fewer hardly anything can be told, three trials being the best tenth: see ``benchmarks/importance.py``."""
MOST_TRIALS = 1000
"""Of more, so many are taken at even distances."""
RESAMPLES = 40
ALL = "all families"
THE_MODEL = "the model"
"""Where the family is not searched."""

Target = Callable[[TrialRow], float | None]


@dataclass(frozen=True)
class ParameterImportance:
    """One hyperparameter's.

    Attributes:
        share: Of the sum over all parameters, 0 to 1.
        sigma: Its standard deviation.
        told: Whether it can be told from chance.
        best: Where the best tenth of the trials lies, in words.
    """

    name: str
    share: float
    sigma: float
    told: bool
    best: str


@dataclass(frozen=True)
class Importance:
    """The parameters of all trials, or of one family's.

    Attributes:
        group: The family, or ``all families``; ``the model`` where only one is searched.
        objective: Of several the one by which trials are ranked, else None.
        trials: That count.
        complete: Those of them that are complete.
        best: How many are the best tenth.
        parameters: Those that can be told from chance first, then by their share; empty where there are too few trials.
        note: What must be said of it, or None.
    """

    group: str
    trials: int
    complete: int
    best: int
    parameters: Sequence[ParameterImportance]
    note: str | None
    objective: str | None = None

    @property
    def title(self) -> str:
        """The group, and by what its trials are ranked."""
        return self.group if self.objective is None else f"{self.group}, by {self.objective}"

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self) | {"parameters": [asdict(parameter) for parameter in self.parameters]}


def importances(
    rows: Sequence[TrialRow],
    distributions: Mapping[str, BaseDistribution],
    direction: Direction,
    *,
    target: Target | None = None,
    pruned: bool = True,
) -> list[Importance]:
    """The importance of each parameter, for all families together and for each; one group where only one is searched.

    Args:
        rows: A study's trials; those of other Optuna programs do not count.
        distributions: Of its parameters.
        direction: Of what is ranked.
        target: What is ranked, of a complete trial; None means the study's metric.
        pruned: Whether pruned trials count as worse than all complete ones.
    """
    mine = [row for row in rows if row.ours and (pruned or row.state is TrialState.COMPLETE)]
    ranked = _ranked(mine, direction, target)
    by_family: dict[str | None, list[TrialRow]] = {}
    for row in ranked:
        by_family.setdefault(row.parameters.get("model"), []).append(row)
    searched = [name for name in by_family if name is not None]
    if not searched:
        return [_group(THE_MODEL, ranked, list(distributions), distributions)]
    shared = [name for name in distributions if "." not in name]
    families = [
        _group(str(name), by_family[name], _of_family(by_family[name], distributions), distributions)
        for name in sorted(searched, key=lambda name: -len(by_family[name]))
    ]
    return [_group(ALL, ranked, shared, distributions), *families]


def _ranked(rows: Sequence[TrialRow], direction: Direction, target: Target | None) -> list[TrialRow]:
    """The trials that count, best first; between equals lots that favour none of them."""
    sign = -1 if direction == "maximize" else 1
    keyed = []
    for row in rows:
        value, lot = row.value if target is None else target(row), row.number * 2654435761 % 2**32
        if row.state is TrialState.COMPLETE and value is not None and math.isfinite(value):
            keyed.append(((0, 0, sign * value, lot), row))
        elif row.state is TrialState.PRUNED and row.failure in (None, "nan"):
            known = [sign * reported for reported in row.values.values() if math.isfinite(reported)]
            diverged = row.failure == "nan" or not known
            keyed.append(((2 if diverged else 1, -max(row.values, default=0), min(known, default=0), lot), row))
    return [row for _, row in sorted(keyed, key=lambda item: item[0])]


def _of_family(rows: Sequence[TrialRow], distributions: Mapping[str, BaseDistribution]) -> list[str]:
    present = {name for row in rows for name in row.parameters} - {"model"}
    return [name for name in distributions if name in present]


def _group(
    group: str, ranked: Sequence[TrialRow], names: Sequence[str], distributions: Mapping[str, BaseDistribution]
) -> Importance:
    trials, complete = len(ranked), sum(row.state is TrialState.COMPLETE for row in ranked)
    best = math.ceil(QUANTILE * trials)
    names = [name for name in names if not distributions[name].single()]
    if not names:
        return Importance(group, trials, complete, best, (), "no parameter is searched, or no trial has begun")
    if trials < LEAST_TRIALS or not complete:
        return Importance(group, trials, complete, best, (), _too_few(trials, complete, LEAST_TRIALS))
    thinned = ranked if trials <= MOST_TRIALS else [ranked[i * trials // MOST_TRIALS] for i in range(MOST_TRIALS)]
    count = math.ceil(QUANTILE * len(thinned))
    columns = {name: column_of(distributions[name], [row.parameters.get(name) for row in thinned]) for name in names}
    least = max(LEAST_TRIALS, needed(list(columns.values())))
    if len(thinned) < least:
        return Importance(group, trials, complete, best, (), _too_few(trials, complete, least))
    shares, sigmas, told = evaluate(list(columns.values()))
    regions = [_best(name, thinned, count, distributions) for name in names]
    found = [
        ParameterImportance(name, float(share), float(sigma), bool(known), where)
        for name, share, sigma, known, where in zip(names, shares, sigmas, told, regions, strict=True)
    ]
    found.sort(key=lambda parameter: (not parameter.told, -parameter.share, parameter.name))
    return Importance(group, trials, complete, best, tuple(found), _note(found, trials))


def _best(name: str, ranked: Sequence[TrialRow], count: int, distributions: Mapping[str, BaseDistribution]) -> str:
    values = [row.parameters.get(name) for row in ranked]
    best = [value for value in values[:count] if value is not None]
    return region(distributions[name], best, [value for value in values if value is not None])


def _too_few(trials: int, complete: int, least: int) -> str:
    if not complete:
        return f"no complete trial yet among the {trials} that count, so there is no best tenth"
    return f"too few trials to tell anything: {trials}, and with these parameters at least {least} are needed"


def _note(found: Sequence[ParameterImportance], trials: int) -> str | None:
    if any(parameter.told for parameter in found):
        return None
    return f"no parameter can be told from chance with {trials} trials; the shares mean nothing"


Floats = NDArray[np.float64]


def evaluate(columns: Sequence[Column]) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Shares, their standard deviations, and what can be told from chance, by column.

    Args:
        columns: Of the trials, best first.

    Returns:
        The same for the same arguments.
    """
    trials, random = len(columns[0].cells), np.random.default_rng(0)
    drawn = random.multinomial(trials, np.full(trials, 1 / trials), RESAMPLES).astype(np.float64)
    weights = np.vstack([np.ones(trials), drawn])
    best = _best_of(weights)
    found = np.array([divergences(column, weights, best) for column in columns])
    shares = found / np.maximum(found.sum(axis=0), 1e-300)
    return shares[:, 0], shares[:, 1:].std(axis=1), told_from_chance(columns, random)


def _best_of(weights: Floats) -> Floats:
    """Of trials that count so often, best first, those that make up the best tenth; the last one may count in part."""
    wanted = math.ceil(QUANTILE * weights.shape[1])
    ahead = weights.cumsum(axis=1) - weights
    return np.asarray(np.clip(wanted - ahead, 0, weights))


def study_importances(
    database: Database, rows: Sequence[TrialRow], objectives: Sequence[Objective]
) -> list[Importance]:
    """The importances of a study's trials, for each of its objectives.

    Trials are stopped by the first one, so that pruned trials tell nothing of the others.
    """
    distributions = read_distributions(database, [row for row in rows if row.ours])
    if len(objectives) == 1:
        return importances(rows, distributions, objectives[0].direction)
    found = []
    for place, objective in enumerate(objectives):
        target = partial(_value_of, place)
        groups = importances(rows, distributions, objective.direction, target=target, pruned=place == 0)
        found += [replace(group, objective=objective.name) for group in groups]
    return found


def _value_of(place: int, row: TrialRow) -> float | None:
    return row.all_values[place] if place < len(row.all_values) else None
