"""Which two classes a binary task tells apart."""

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np

from objectives._labels import Raw, labels, one_per_event, shown
from storage.errors import DataError

Label = int | str
"""A class, by its label in the file or by its name."""


def pair(
    raw: Raw, negative: Label | None, positive: Label | None, class_names: Sequence[str] | None
) -> tuple[int, int]:
    """Return the labels of the negative and the positive class.

    A class that is not given is the other of the two that occur; if neither is given, the larger label is positive.

    Raises:
        ValueError: a name that is unknown, or both name the same class.
        DataError: a class that does not occur, or one that is not given among more than two.
    """
    first, second = (None if side is None else _value(side, class_names) for side in (negative, positive))
    column = one_per_event(raw)
    for value in (first, second):
        if value is not None and not (column == value).any():
            raise DataError(f"no event has the label {value}; the labels that occur are {shown(np.unique(column))}")
    if first is None or second is None:
        first, second = _completed(raw, first, second)
    if first == second:
        raise ValueError(f"positive and negative are both the label {first}; they must be two classes")
    return first, second


def _completed(raw: Raw, negative: int | None, positive: int | None) -> tuple[int, int]:
    present = np.unique(labels(raw))
    if len(present) != 2:
        raise DataError(
            f"the labels that occur are {shown(present)}; a binary objective tells two classes apart: "
            "name them with `positive` and `negative`"
        )
    low, high = int(present[0]), int(present[1])
    return (high, low) if high == negative or low == positive else (low, high)


def _value(side: Label, class_names: Sequence[str] | None) -> int:
    if isinstance(side, int):
        return side
    if class_names is None:
        raise ValueError(f"the class {side!r} is given by name, but the file has no class names; give its label")
    if side not in class_names:
        close = get_close_matches(side, class_names, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(f"there is no class {side!r}{hint}; accepted are {', '.join(class_names)}, or a label")
    return list(class_names).index(side)
