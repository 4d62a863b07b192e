"""Class labels as they are in files, and what they must be."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.errors import DataError

Raw = NDArray[Any]

_LARGEST = 2**53  # above it floats skip whole numbers
_SHOWN = 5  # values in a message


def one_per_event(raw: Raw) -> Raw:
    """Return the targets as (N,).

    Raises:
        DataError: several values per event, or no numbers.
    """
    values = math.prod(raw.shape[1:])
    if values != 1:
        raise DataError(
            f"the targets have shape {raw.shape}: {values} values per event; accepted is one, as (N,) or (N, 1); "
            "name another target dataset"
        )
    if raw.dtype.kind not in "biuf":
        raise DataError(f"the targets have dtype {raw.dtype}; accepted are integers, floats and booleans")
    return raw.reshape(len(raw))


def labels(raw: Raw) -> NDArray[np.int64]:
    """Return whole-number labels as int64 (N,), whatever their dtype.

    Raises:
        DataError: a label is negative, fractional or not finite; the message says which and how many.
    """
    flat = one_per_event(raw)
    usable = np.ones(len(flat), dtype=bool)
    if flat.dtype.kind == "f":
        usable = np.isfinite(flat) & (flat == np.floor(flat)) & (np.abs(flat) < _LARGEST)
    whole = np.where(usable, flat, -1).astype(np.int64)
    usable &= whole >= 0
    if not usable.all():
        raise DataError(
            f"{_count(~usable)} labels are {shown(np.unique(flat[~usable]))}; accepted are whole numbers from 0 up; "
            "correct them, leave those events out with a selection, or choose the objective regression"
        )
    return whole


def class_values(raw: Raw, class_names: Sequence[str] | None) -> tuple[int, ...]:
    """Return the distinct labels, ascending: at least two, each of at least two events.

    A class that is named but has no event is left out: a selection may have removed it.

    Args:
        raw: the labels of all used events.
        class_names: the names of labels 0, 1, …, if known.

    Raises:
        DataError: labels beyond the names, a class of one event, or fewer than two classes.
    """
    whole = labels(raw)
    values, events = np.unique(whole, return_counts=True)
    if class_names is not None and (beyond := whole >= len(class_names)).any():
        raise DataError(
            f"{_count(beyond)} labels are {shown(np.unique(whole[beyond]))}, but there are {len(class_names)} class "
            f"names ({', '.join(class_names)}); accepted are labels from 0 to {len(class_names) - 1}"
        )
    if (events < 2).any():
        raise DataError(
            f"of {shown(values[events < 2])} there is only one event each; every class needs at least 2 events; "
            "select the classes to use"
        )
    if len(values) < 2:
        found = f"all {len(whole)} labels are {values[0]}" if len(values) else "there are no labels"
        raise DataError(f"{found}; a classification needs at least 2 classes")
    return tuple(values.tolist())


def class_indices(raw: Raw, values: Sequence[int]) -> NDArray[np.int64]:
    """Return each label's position in the ascending values, (N,).

    Raises:
        DataError: a label is none of them.
    """
    whole = labels(raw)
    known = np.asarray(values, dtype=np.int64)
    indices = np.searchsorted(known, whole).clip(max=len(known) - 1)
    unknown = known[indices] != whole
    if unknown.any():
        raise DataError(
            f"{_count(unknown)} labels are {shown(np.unique(whole[unknown]))}; "
            f"the classes of this task are {shown(known)}; select those"
        )
    return indices.astype(np.int64)


def names_of(values: Iterable[int], class_names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the classes' names; without names, the labels as text."""
    return tuple(str(value) if class_names is None else class_names[value] for value in values)


def check_names(class_names: Sequence[str] | None) -> None:
    """Refuse class names that cannot tell classes apart.

    Raises:
        ValueError: fewer than two, an empty one, or one that occurs twice.
    """
    if class_names is None:
        return
    if isinstance(class_names, str) or len(class_names) < 2 or not all(name for name in class_names):
        raise ValueError(f"class_names is {class_names!r}; it must be at least two names, those of labels 0, 1, …")
    twice = [name for name, times in Counter(class_names).items() if times > 1]
    if twice:
        raise ValueError(f"class_names has {', '.join(twice)} more than once; every class needs a name of its own")


def shown(values: Raw) -> str:
    """Return the first few values as text."""
    return ", ".join(str(value) for value in values[:_SHOWN].tolist()) + (", …" if len(values) > _SHOWN else "")


def _count(chosen: NDArray[np.bool_]) -> str:
    return f"{int(chosen.sum())} of {len(chosen)}"
