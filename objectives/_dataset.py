"""A file of events, its targets and its split: what a study trains on."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from objectives._split import Selection, Split, check_fractions, load_split, make_split, selected
from storage.errors import DataError
from storage.hdf5 import EventFile, Layout
from storage.ingest import cache_folder, with_packed

Cache = Literal["auto", "memory", "map", "stream"]
CACHES: tuple[Cache, ...] = get_args(Cache)


@dataclass(frozen=True)
class DataSettings:
    """Which events a study uses and how they are divided.

    `validation` and `test` are fractions of the selected events and `seed` divides them; `split_file`, a .npz
    with `train_idxs`, `val_idxs` and `test_idxs`, replaces all three. `cache` says where the events are read from:
    "memory" (a private copy), "map" (the file, through the page cache), "stream" (the file, with reads asked for
    ahead), or "auto": memory when they fit, else "stream". `cache_folder` is where converted events are looked for:
    None means beside the file.
    """

    path: Path
    layout: Layout = field(default_factory=Layout)
    validation: float = 0.1
    test: float = 0.1
    seed: int = 42
    split_file: Path | None = None
    selection: Selection = field(default_factory=Selection)
    cache: Cache = "auto"
    cache_folder: Path | None = None

    def __post_init__(self) -> None:
        check_fractions(self.validation, self.test)
        check_cache(self.cache)


def check_cache(cache: str) -> None:
    """Raise ValueError unless `cache` is one of `CACHES`."""
    if cache not in CACHES:
        raise ValueError(f"cache: {cache!r} is not one of {', '.join(CACHES)}")


@dataclass(frozen=True, eq=False)
class Dataset:
    """An event file, the target of each of its events and the split of those selected.

    `targets` is the whole target column (N,) as it is stored, indexed by the split's indices.
    """

    file: EventFile
    targets: npt.NDArray[Any]
    split: Split

    @property
    def count(self) -> int:
        """The number of events of the file, selected or not."""
        return self.file.count

    @property
    def shape(self) -> tuple[int, int, int]:
        """One event's (C, H, W)."""
        return self.file.shape

    @property
    def axes(self) -> str:
        """The order of the axes of stored events: "NHWC", "NCHW" or "NHW"."""
        return self.file.layout.axes

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of classes 0, 1, ... if the file tells them."""
        return self.file.class_names

    @property
    def used(self) -> npt.NDArray[np.int64]:
        """The indices of all events in any part of the split, sorted."""
        return np.sort(np.concatenate([self.split.training, self.split.validation, self.split.test]))

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """The file's fingerprint, as `EventFile.fingerprint` makes it."""
        return self.file.fingerprint()


def open_dataset(settings: DataSettings, *, stratify: bool) -> Dataset:
    """Open the file, apply the selection and divide the events.

    Args:
        settings: the file and what to use of it.
        stratify: divide each class in the same proportions; the targets must then be whole numbers.

    Raises:
        DataError: the file, the target, the selection or the split cannot be used.
    """
    file = EventFile.open(settings.path, settings.layout)
    file = with_packed(file, cache_folder(file.path, settings.cache_folder))
    targets = _targets(file)
    indices = selected(file, settings.selection)
    _check_values(file, targets[indices], indices, whole=stratify)
    if settings.split_file is not None:
        return Dataset(file, targets, load_split(settings.split_file, file.count, indices))
    strata = targets[indices] if stratify else None
    split = make_split(indices, strata, settings.validation, settings.test, settings.seed)
    return Dataset(file, targets, split)


def _targets(file: EventFile) -> npt.NDArray[Any]:
    name = file.layout.target
    targets = file.column(name)
    if targets.ndim != 1:
        raise DataError(
            f"{file.path}: dataset {name!r} has {targets.shape[1]} numbers per event; a target is one number per "
            "event, (N,) or (N, 1): name another dataset as `data.target`"
        )
    return targets


def _check_values(file: EventFile, values: npt.NDArray[Any], indices: npt.NDArray[np.int64], *, whole: bool) -> None:
    if values.dtype.kind != "f":
        return
    good = np.isfinite(values)
    if whole:
        good &= values == np.floor(values)
    if good.all():
        return
    first = int(np.argmin(good))
    accepted = "classes are whole numbers" if whole else "targets are finite numbers"
    raise DataError(
        f"{file.path}: dataset {file.layout.target!r} has {values[first]} at event {indices[first]} and "
        f"{np.sum(~good) - 1} more such; {accepted}: repair the file or leave those events out with `data.select`"
    )
