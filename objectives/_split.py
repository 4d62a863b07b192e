"""Training, validation and test: which events belong to which."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from objectives._rounding import controlled_rounding
from objectives._selection import Selection, selected
from storage.errors import DataError

__all__ = ["PARTS", "Selection", "Split", "check_fractions", "load_split", "make_split", "selected"]

PARTS = ("training", "validation", "test")

_Indices = npt.NDArray[np.int64]
_KEYS = {"training": "train_idxs", "validation": "val_idxs", "test": "test_idxs"}  # WatChMaL's names


@dataclass(frozen=True, eq=False)
class Split:
    """Indices into a file's events: three disjoint parts, each int64, sorted, without repetition.

    `validation` and `test` may be empty.
    """

    training: _Indices
    validation: _Indices
    test: _Indices

    def __post_init__(self) -> None:
        parts = [getattr(self, name) for name in PARTS]
        for name, part in zip(PARTS, parts, strict=True):
            if part.dtype != np.int64 or part.ndim != 1 or np.any(np.diff(part) <= 0) or np.any(part < 0):
                raise ValueError(f"{name}: must be a sorted int64 array (n,) of different indices from 0")
        together = np.concatenate(parts)
        if len(np.unique(together)) != len(together):
            raise ValueError("training, validation and test share events; they must be disjoint")


def make_split(
    events: int | npt.NDArray[np.integer[Any]],
    strata: npt.NDArray[Any] | None,
    validation: float,
    test: float,
    seed: int,
) -> Split:
    """Divide events at random, without replacement, into disjoint parts that together are all of them.

    The validation and test parts have round(fraction × events) events, halves rounded up. With strata, each
    stratum is divided in the same proportions: its number in each part is at most one event from exact.
    The result follows from the arguments alone: it uses the generator's raw stream, which numpy keeps the same
    on every platform and in every version.

    Args:
        events: how many events, from 0; or their indices, all different.
        strata: (n,) the class of each event, or None.
        validation: fraction in [0, 1); 0 makes the part empty.
        test: fraction in [0, 1); validation + test must be below 1.
        seed: at least 0.

    Raises:
        ValueError: a fraction or the seed is out of range, or the strata are not one per event.
        DataError: the training part, or one whose fraction is not 0, would be empty.
    """
    check_fractions(validation, test)
    if seed < 0:
        raise ValueError(f"seed: {seed} is negative; give 0 or more")
    indices = np.arange(events) if isinstance(events, int | np.integer) else np.asarray(events)
    labels = np.zeros(len(indices), np.int64) if strata is None else np.asarray(strata)
    if labels.shape != indices.shape:
        raise ValueError(f"strata: shape {labels.shape}; one per event is needed, {indices.shape}")
    totals = _totals(len(indices), validation, test)
    members = np.unique(labels, return_inverse=True)[1].reshape(-1)
    part = _assign(members, controlled_rounding(np.bincount(members), totals), seed)
    training, validating, testing = (np.sort(indices[part == k]).astype(np.int64) for k in range(3))
    return Split(training, validating, testing)


def check_fractions(validation: float, test: float) -> None:
    """Raise ValueError unless both fractions are in [0, 1) and leave something for training."""
    for name, fraction in (("validation", validation), ("test", test)):
        if not 0 <= fraction < 1:
            raise ValueError(f"{name}: {fraction} is not a fraction of the events; give one from 0 to below 1")
    if validation + test >= 1:
        raise ValueError(f"validation + test: {validation} + {test} leaves no events for training; give a sum below 1")


def _totals(count: int, validation: float, test: float) -> npt.NDArray[np.int64]:
    held = [int(np.floor(count * fraction + 0.5)) for fraction in (validation, test)]
    totals = [count - sum(held), *held]
    for name, fraction, total in zip(PARTS, (1 - validation - test, validation, test), totals, strict=True):
        if fraction > 0 and total <= 0:
            raise DataError(
                f"data.split: {fraction:.3g} of {count} events leaves the {name} part empty; use more events, "
                f"another fraction{', or 0 for no such part' if name != 'training' else ''}"
            )
    return np.array(totals)


def _assign(members: _Indices, counts: _Indices, seed: int) -> npt.NDArray[np.int8]:
    """The part 0, 1, 2 of each event: `counts[stratum, part]` of each stratum, by a random key per event."""
    keys = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(len(members))
    part = np.empty(len(members), np.int8)
    part[np.lexsort((keys, members))] = np.repeat(np.tile(np.arange(3), len(counts)), counts.ravel())
    return part


def load_split(path: Path, count: int, keep: npt.NDArray[np.integer[Any]] | None = None) -> Split:
    """Read a split from a .npz file with the arrays `train_idxs`, `val_idxs` and `test_idxs`, as WatChMaL's.

    Args:
        path: the .npz file.
        count: the number of events of the data file; every index must be below it.
        keep: the events that a selection left; others leave their parts. None keeps all.

    Raises:
        DataError: the file cannot be read, an index is out of range or occurs twice, the training part is
            empty, or the selection empties a part.
    """
    parts = {}
    for name, values in _arrays(path).items():
        parts[name] = np.sort(_checked(f"{path}: array {_KEYS[name]!r}", values, count))
    together, times = np.unique(np.concatenate(list(parts.values())), return_counts=True)
    if np.any(times > 1):
        raise DataError(
            f"{path}: event {together[times > 1][0]} and {np.sum(times > 1) - 1} others occur more than once; "
            "each event may be in one part, once: make the split again"
        )
    if keep is not None:
        parts = {name: _kept(path, name, part, keep) for name, part in parts.items()}
    if not len(parts["training"]):
        raise DataError(f"{path}: array 'train_idxs' is empty; give at least one training event")
    return Split(**parts)


def _arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            if not isinstance(content, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            return {name: content[key] for name, key in _KEYS.items()}
    except FileNotFoundError as error:
        raise DataError(f"{path}: does not exist; give a .npz file as `data.split.file`") from error
    except KeyError as error:
        raise DataError(f"{path}: {error.args[0]}; it must have the arrays {', '.join(_KEYS.values())}") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: is not a readable .npz file ({error}); make it with numpy.savez") from error


def _checked(where: str, values: npt.NDArray[Any], count: int) -> _Indices:
    if values.size == 0:
        return np.empty(0, np.int64)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise DataError(f"{where} is {values.dtype} {values.shape}; accepted is one axis of integers: make it again")
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= count:
        raise DataError(
            f"{where} names event {low if low < 0 else high}, but the data file has events 0 to {count - 1}; "
            "use the split made for this file"
        )
    return values.astype(np.int64)


def _kept(path: Path, name: str, part: _Indices, keep: npt.NDArray[np.integer[Any]]) -> _Indices:
    kept = part[np.isin(part, keep)]
    if len(part) and not len(kept):
        raise DataError(
            f"{path}: none of the {len(part)} events of {_KEYS[name]!r} passes `data.select`; widen the cuts or make "
            "a split of selected events"
        )
    return kept
