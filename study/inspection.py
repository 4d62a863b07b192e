"""What is in a file of events: datasets, classes, statistics, and what would stop a training."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from objectives._data import non_finite
from objectives._source import FileSource
from objectives._statistics import statistics
from storage.errors import DataError
from storage.hdf5 import EventFile, Layout

SAMPLED = 2048
"""Events that statistics are taken from."""
FEW = 10
"""A class with fewer events than this cannot be split in any useful way."""


@dataclass(frozen=True)
class ClassCount:
    """One class and how many events it has."""

    label: int
    name: str
    events: int


@dataclass(frozen=True)
class Inspection:
    """What a look at a file found.

    Attributes:
        datasets: Shape by name.
        shape: (C, H, W) of an event.
        memory_mb: Of all events, decoded.
        mapped: Whether the events can be memory-mapped (contiguous and uncompressed).
        classes: Empty when the target is no class.
        target: Minimum, mean and maximum of the target, when it is no class.
        statistics: Of the pixel values, over at most 2,048 events.
        problems: What would stop a training or slow it down; empty when nothing does.
    """

    path: str
    datasets: Mapping[str, tuple[int, ...]]
    count: int
    shape: tuple[int, int, int]
    dtype: str
    memory_mb: float
    mapped: bool
    classes: Sequence[ClassCount]
    target: Mapping[str, float]
    statistics: Mapping[str, float]
    problems: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


def inspect_file(path: Path, layout: Layout, *, every: bool) -> Inspection:
    """Look into a file.

    Args:
        path: The HDF5 file.
        layout: Names of its datasets.
        every: Read every event to look for values that are not finite, not only a sample.

    Raises:
        DataError: The file cannot be read, or holds no events.
    """
    file = EventFile.open(path, layout)
    rows = np.unique(np.linspace(0, file.count - 1, min(file.count, SAMPLED)).astype(np.int64))
    source = FileSource(file, rows)
    problems = [*_target_problems(file), *_layout_problems(file)]
    problems += _bad_values(file, None if every else rows)
    numbers = statistics(source, file.layout.axes)
    classes, target = _target(file)
    return Inspection(
        path=str(path),
        datasets=file.datasets,
        count=file.count,
        shape=file.shape,
        dtype=str(file.dtype),
        memory_mb=round(file.count * int(np.prod(file.shape)) * file.dtype.itemsize / 2**20, 1),
        mapped=file.stored.offset is not None,
        classes=classes,
        target=target,
        statistics={name: numbers[name] for name in ("mean", "std", "maximum")},
        problems=problems,
    )


def _target(file: EventFile) -> tuple[list[ClassCount], dict[str, float]]:
    if file.layout.target not in file.datasets:
        return [], {}
    values = file.column(file.layout.target)
    if values.ndim == 1 and _whole(values) and len(np.unique(values)) <= 1000:
        labels, counts = np.unique(values, return_counts=True)
        names = file.class_names or ()
        return [
            ClassCount(int(label), names[int(label)] if 0 <= label < len(names) else str(int(label)), int(count))
            for label, count in zip(labels, counts, strict=True)
        ], {}
    finite = values[np.isfinite(values)]
    return [], {"minimum": float(finite.min()), "mean": float(finite.mean()), "maximum": float(finite.max())}


def _whole(values: Any) -> bool:
    return values.dtype.kind in "iub" or bool(np.all(np.isfinite(values)) and np.all(values == np.floor(values)))


def _target_problems(file: EventFile) -> list[str]:
    name = file.layout.target
    if name not in file.datasets:
        return [f"there is no dataset {name!r} to learn; name the target: data.target"]
    try:
        values = file.column(name)
    except DataError as error:
        return [str(error)]
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = int(np.count_nonzero(~np.isfinite(values)))
        return [f"dataset {name!r} has {bad} values that are not finite, first at event {_first(~np.isfinite(values))}"]
    classes, _ = _target(file)
    few = [f"{c.name} ({c.events})" for c in classes if c.events < FEW]
    found = [f"classes with fewer than {FEW} events: {', '.join(few)}"] if few else []
    if len(classes) == 1:
        found.append(f"all events are of one class, {classes[0].name}")
    if any(c.label < 0 for c in classes):
        found.append("labels below 0")
    return found


def _first(mask: Any) -> int:
    return int(np.argmax(mask.reshape(len(mask), -1).any(axis=1)))


def _layout_problems(file: EventFile) -> list[str]:
    if file.stored.offset is not None:
        return []
    return ["events are chunked or compressed: reading them is slow unless they fit in memory"]


def _bad_values(file: EventFile, rows: Any) -> list[str]:
    tally = non_finite(file, rows)
    if not tally.events:
        return []
    sampled = "" if rows is None else f" among {len(rows)} sampled ones (--all reads every event)"
    return [f"{tally.events} events hold NaN or infinite values{sampled}, first event {tally.first}"]


def draw_classes(path: Path, layout: Layout, to: Path) -> None:
    """Draw one event of each class, or the first event, to a PNG.

    Events with 19 + 19 channels are drawn as an unrolled barrel of multi-PMT modules, others as the sum of their
    channels.

    Raises:
        DataError: The file cannot be read.
    """
    from study.display import draw_events, draw_images

    file = EventFile.open(path, layout)
    rows, titles = _examples(file)
    events = [np.asarray(file.events()[row], dtype=np.float32) for row in rows]
    if layout.axes == "NHWC" and file.shape == (38, 16, 40):
        draw_events(events, to, titles)
    else:
        axis = {"NHWC": -1, "NCHW": 0}.get(layout.axes)
        draw_images([event if axis is None else event.sum(axis=axis) for event in events], to, titles)


def _examples(file: EventFile) -> tuple[list[int], list[str]]:
    classes, _ = _target(file)
    if not classes:
        return [0], ["event 0"]
    labels = file.column(file.layout.target)
    rows = [int(np.argmax(labels == item.label)) for item in classes[:10]]
    return rows, [f"{item.name}, event {row}" for item, row in zip(classes, rows, strict=False)]
