"""What is in a file of events: datasets, classes, statistics, and what would stop a training."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives._data import check_finite
from objectives._source import FileSource
from objectives._statistics import statistics
from storage.errors import DataError
from storage.hdf5 import EventFile, Layout
from study._event_pictures import draw_classes, draw_rows
from study._targets import ClassCount, extent, look_at

__all__ = ["Inspection", "draw_classes", "draw_rows", "inspect_file", "suggestion"]

SAMPLED = 2048
"""Events that statistics are taken from."""
CHANNELS = (1, 3, 4)
"""Numbers of channels that images usually have."""


@dataclass(frozen=True)
class Inspection:
    """What a look at a file found.

    Attributes:
        datasets: Shape by name.
        shape: (C, H, W) of an event.
        memory_mb: Of all events, decoded.
        mapped: Whether the events can be memory-mapped as they are (contiguous, uncompressed, of native byte order).
        classes: Empty when the target is no class.
        target: Minimum, mean and maximum of the target, when it is no class.
        columns: The same of the other numbers of each event: energies and positions.
        statistics: Of the pixel values, over at most 2,048 events, integers scaled to 1; empty if they are not finite.
        problems: What stops a training.
        remarks: What may make it slow or poor.
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
    columns: Mapping[str, Mapping[str, float]]
    statistics: Mapping[str, float]
    problems: Sequence[str]
    remarks: Sequence[str]

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
    target = look_at(file)
    unreadable = _unreadable(file, None if every else rows)
    numbers = {} if unreadable else statistics(FileSource(file, rows), file.layout.axes)
    return Inspection(
        path=str(path),
        datasets=file.datasets,
        count=file.count,
        shape=file.shape,
        dtype=str(file.dtype),
        memory_mb=_megabytes(file),
        mapped=file.place is not None and file.dtype.isnative,
        classes=target.classes,
        target=target.range or {},
        columns=_columns(file),
        statistics={name: numbers[name] for name in ("minimum", "mean", "std", "maximum") if name in numbers},
        problems=[*target.problems, *unreadable],
        remarks=[*target.remarks, *_layout_remarks(file), *_sampling_remarks(file, rows, every)],
    )


def _megabytes(file: EventFile) -> float:
    size = file.count * int(np.prod(file.shape)) * file.dtype.itemsize / 2**20
    return round(size, 1 if size >= 1 else 3)


def _unreadable(file: EventFile, rows: NDArray[np.int64] | None) -> list[str]:
    try:
        check_finite(file, rows)
    except DataError as error:
        sampled = "" if rows is None or len(rows) == file.count else f" (of {len(rows)} sampled; --all reads every one)"
        return [f"{error}{sampled}"]
    return []


def _columns(file: EventFile) -> dict[str, dict[str, float]]:
    found = {}
    for name in (file.layout.energies, file.layout.positions):
        if name in file.datasets and name != file.layout.target:
            try:
                values = file.column(name)
            except DataError:
                continue  # it may be anything: nothing asked for it yet
            if values.dtype.kind == "f" and np.isfinite(values).all():
                found[name] = extent(values)
    return found


def _layout_remarks(file: EventFile) -> list[str]:
    found = []
    if file.needs_conversion:
        what = "lists of hits" if file.pixels is not None else "chunked, compressed or of foreign byte order"
        found.append(
            f"events are {what}: `launch` converts them once, into a folder beside the file or STUDYHALL_CACHE"
        )
    shape, axes = file.stored.shape, file.layout.axes
    other = {"NHWC": "NCHW", "NCHW": "NHWC"}.get(axes)
    channels, likely = (shape[-1], shape[1]) if axes == "NHWC" else (shape[1], shape[-1])
    if other and likely in CHANNELS and channels > max(CHANNELS):
        found.append(f"axes {axes} mean {channels} channels; if there are {likely}, the axes are {other}")
    return found


def _sampling_remarks(file: EventFile, rows: NDArray[np.int64], every: bool) -> list[str]:
    if every or len(rows) == file.count or file.dtype.kind != "f":
        return []
    return [f"{len(rows)} of {file.count} events were looked at; --all reads every one"]


def suggestion(path: Path) -> str:
    """Options that name the dataset most like images, or an empty text."""
    from storage._hdf5_datasets import shapes
    from storage._hdf5_open import opened
    from storage._hits import NAMES as HIT_NAMES

    with opened(path) as handle:
        if all(name in handle for name in HIT_NAMES):
            return "--pixels MAP.npz, since it holds digitised hits"
        images = {name: shape for name, shape in shapes(handle).items() if len(shape) in (3, 4) and 0 not in shape}
    if not images:
        return ""
    name = max(images, key=lambda image: int(np.prod(images[image], dtype=object)))
    shape = images[name]
    axes = "NHW" if len(shape) == 3 else "NCHW" if shape[1] in CHANNELS and shape[-1] not in CHANNELS else "NHWC"
    return f"--events-name {name}" + (f" --axes {axes}" if axes != "NHWC" else "")
