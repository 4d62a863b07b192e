"""What all trials of a study have in common: search spaces and names of attributes, as optuna-dashboard sees them."""

import numbers
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

Kind = tuple[Any, ...]
Space = list[tuple[str, BaseDistribution]]


@dataclass
class Overview:
    """Grows by one trial at a time, in any order; trials that failed count for attributes only.

    Attributes:
        trials: How many trials count for the search spaces.
        spaces: For each name and kind of distribution the widest one, and how many trials have it.
        sortable: For each user attribute whether all its values are numbers.
        reports: Whether any trial has reported intermediate values.
    """

    trials: int = 0
    spaces: dict[tuple[str, Kind], tuple[BaseDistribution, int]] = field(default_factory=dict)
    sortable: dict[str, bool] = field(default_factory=dict)
    reports: bool = False

    def with_trials(self, trials: Iterable[FrozenTrial]) -> "Overview":
        """A copy that has these too."""
        copy = Overview(self.trials, dict(self.spaces), dict(self.sortable), self.reports)
        for trial in trials:
            copy.add(trial)
        return copy

    def add(self, trial: FrozenTrial) -> None:
        """Add a trial."""
        for name, value in trial.user_attrs.items():
            number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            self.sortable[name] = number and self.sortable.get(name, True)
        if trial.state is TrialState.FAIL:
            return
        self.trials += 1
        self.reports = self.reports or bool(trial.intermediate_values)
        for name, distribution in trial.distributions.items():
            key = (name, _kind(distribution))
            known, count = self.spaces.get(key, (distribution, 0))
            self.spaces[key] = (_widest(known, distribution), count + 1)

    @property
    def union(self) -> Space:
        """What any trial has, by name."""
        return list(self._sorted(1))

    @property
    def intersection(self) -> Space:
        """What every trial has, by name."""
        return list(self._sorted(max(1, self.trials)))

    def _sorted(self, least: int) -> Iterator[tuple[str, BaseDistribution]]:
        for (name, _), (distribution, count) in sorted(
            self.spaces.items(), key=lambda item: (item[0][0], str(item[0]))
        ):
            if count >= least:
                yield name, distribution

    @property
    def attributes(self) -> list[tuple[str, bool]]:
        """Names of user attributes, sorted, and whether they can be ordered as numbers."""
        return sorted(self.sortable.items())


def _kind(distribution: BaseDistribution) -> Kind:
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return type(distribution), distribution.step, distribution.log
    return (type(distribution),)


def _widest(known: BaseDistribution, other: BaseDistribution) -> BaseDistribution:
    """Of two distributions of one kind."""
    if known is other or known == other:
        return known
    if isinstance(known, CategoricalDistribution) and isinstance(other, CategoricalDistribution):
        return CategoricalDistribution(tuple(dict.fromkeys((*known.choices, *other.choices))))
    if isinstance(known, FloatDistribution) and isinstance(other, FloatDistribution):
        low, high = min(known.low, other.low), max(known.high, other.high)
        return FloatDistribution(low, high, step=known.step, log=known.log)
    if isinstance(known, IntDistribution) and isinstance(other, IntDistribution):
        low, high = min(known.low, other.low), max(known.high, other.high)
        return IntDistribution(low, high, step=known.step, log=known.log)
    return known
