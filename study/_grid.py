"""Spaces that can be gone through value by value."""

import math
from typing import Any

from models._hyperparameters import Choice, Integer, Range
from storage.errors import ConfigError
from study._space import Space

MOST_POINTS = 100_000


def listed_values(sampler: str, space: Space) -> dict[str, list[Any]]:
    """The values of each searched parameter.

    Raises:
        ConfigError: One has any number of values, which the sampler cannot go through.
    """
    values = {parameter.name: _values(parameter.range) for parameter in space.searched}
    endless = [name for name, found in values.items() if found is None]
    if endless:
        raise ConfigError(
            f"search.sampler {sampler} goes through all values of each parameter, and {', '.join(endless)} may have "
            "any in a range; give each a step, a choice such as {choice: [0.001, 0.01]}, or one value"
        )
    return {name: found for name, found in values.items() if found is not None}


def grid(space: Space, trials: int | None) -> dict[str, list[Any]]:
    """The values of each searched parameter, every combination of which is one trial.

    Args:
        space: What is searched.
        trials: The study's budget.

    Raises:
        ConfigError: A parameter has any number of values, or counts only with some values of another; or the budget
            is larger than the grid.
    """
    values = listed_values("grid", space)
    for parameter in space.searched:
        deciding = [name for name in space.conditions(parameter) if name in values]
        if deciding:
            raise ConfigError(
                f"search.sampler grid takes every combination, and would repeat those in which {parameter.name} does "
                f"not count; give {deciding[0]} one value, or use brute_force, which repeats none"
            )
    points = math.prod(len(found) for found in values.values())
    if points > MOST_POINTS:
        raise ConfigError(f"search.sampler grid has {points} points; at most {MOST_POINTS} can be held: use qmc")
    if trials is None or trials > points:
        raise ConfigError(f"search.sampler grid has {points} points; set budget.trials to {points} or fewer")
    return values


def _values(range_: Range) -> list[Any] | None:
    if isinstance(range_, Choice):
        return list(range_.options)
    if isinstance(range_, Integer):
        return list(range(range_.low, range_.high + 1, range_.step))
    if range_.step is None:
        return None
    return [range_.low + index * range_.step for index in range(round((range_.high - range_.low) / range_.step) + 1)]
