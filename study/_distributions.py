"""Optuna's distributions of ranges and of single values."""

from collections.abc import Sequence
from typing import Any, cast

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from models._hyperparameters import Choice, Integer, Range


class _Asked:
    """A suggester that answers with what it was asked for."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> Any:
        return IntDistribution(low, high, log=log, step=step)

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> Any:
        return FloatDistribution(low, high, log=log, step=step)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return CategoricalDistribution(choices)


def distribution_of(range_: Range) -> BaseDistribution:
    """The distribution that Optuna stores with a value from this range."""
    return cast(BaseDistribution, range_.suggest(_Asked(), ""))


def only(value: Any, like: Range) -> BaseDistribution:
    """The distribution of one value, of the range's kind."""
    if isinstance(like, Choice):
        return CategoricalDistribution((value,))
    log = like.log and value > 0
    return (
        IntDistribution(value, value, log=log)
        if isinstance(like, Integer)
        else FloatDistribution(value, value, log=log)
    )
