"""The best trials of several objectives: those that no other trial beats in one without being worse in another."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from objectives._task import Direction

Item = TypeVar("Item")


def losses(values: Sequence[float], directions: Sequence[Direction]) -> tuple[float, ...]:
    """The values of a trial's objectives, signed so that less is better."""
    return tuple(-value if way == "maximize" else value for value, way in zip(values, directions, strict=True))


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether losses are nowhere worse than others, and better in one."""
    return tuple(one) != tuple(other) and all(a <= b for a, b in zip(one, other, strict=True))


def front(items: Sequence[Item], losses_of: Callable[[Item], Sequence[float]]) -> list[Item]:
    """The items that none dominates, in their order; equal ones are all among them.

    As Optuna's ``study.best_trials``. With one objective these are the best item and those equal to it.

    Args:
        items: In any order.
        losses_of: An item's losses, none of them NaN.
    """
    found: list[tuple[Sequence[float], Item]] = []
    # In this order no item is dominated by a later one, so what is on the front stays there.
    for place in sorted(range(len(items)), key=lambda place: tuple(losses_of(items[place]))):
        mine = losses_of(items[place])
        # Of two objectives the last one found is the best in the second: it dominates if any does.
        if not any(dominates(known, mine) for known, _ in reversed(found)):
            found.append((mine, items[place]))
    chosen = {id(item) for _, item in found}
    return [item for item in items if id(item) in chosen]
