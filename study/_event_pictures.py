"""Pictures of some events of a file, with their class and energy."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from storage.errors import ConfigError, DataError
from storage.hdf5 import EventFile, Layout
from study._diagnosing import energies_of
from study._targets import Target, look_at

MOST_EXAMPLES = 10
MOST_DRAWN = 32
"""Events in one picture: a hundred and more would not fit into a PNG of Matplotlib's."""


def draw_classes(path: Path, layout: Layout, to: Path) -> None:
    """Draw one event of each class, or the first event, to a PNG, as `study._images.draw_stored` does.

    Raises:
        DataError: The file cannot be read.
    """
    file = EventFile.open(path, layout)
    rows, titles = _examples(file, look_at(file))
    _draw(file, rows, titles, to)


def draw_rows(path: Path, layout: Layout, rows: Sequence[int], to: Path) -> None:
    """Draw some events to a PNG, titled with their class and energy where the file has them.

    Args:
        path: The HDF5 file.
        layout: Names of its datasets.
        rows: Numbers of the events, from 0; at most 32.
        to: Where the PNG goes; what is there is replaced.

    Raises:
        DataError: The file cannot be read, or has no such event.
        ConfigError: There are no rows, or too many.
    """
    if not 0 < len(rows) <= MOST_DRAWN:
        raise ConfigError(f"--events: {len(rows)} events are given; accepted are 1 to {MOST_DRAWN} in one picture")
    file = EventFile.open(path, layout)
    absent = [row for row in rows if not 0 <= row < file.count]
    if absent:
        raise DataError(
            f"{path}: has no event {', '.join(map(str, absent))}; accepted are 0 to {file.count - 1} ({file.count} "
            "events)"
        )
    _draw(file, rows, _titles(file, rows), to)


def _draw(file: EventFile, rows: Sequence[int], titles: Sequence[str], to: Path) -> None:
    from study._images import draw_stored

    stored = file.events()
    # Matplotlib takes what stands between dollars for mathematics.
    safe = [title.replace("$", r"\$") for title in titles]
    draw_stored([np.asarray(stored[row], dtype=np.float32) for row in rows], file.layout.axes, to, safe)


def _titles(file: EventFile, rows: Sequence[int]) -> list[str]:
    target, energies = look_at(file), energies_of(file)
    numbers = file.layout.target == file.layout.energies  # few whole ones look like classes
    names = {} if numbers else {item.label: item.name for item in target.classes}
    labels = file.column(file.layout.target) if names else None
    titles = []
    for row in rows:
        parts = [] if labels is None else [names[int(labels[row])]]
        parts.append(f"event {row}")
        if energies is not None and np.isfinite(energies[row]):
            parts.append(f"{energies[row]:.0f} MeV")
        titles.append(", ".join(parts))
    return titles


def _examples(file: EventFile, target: Target) -> tuple[list[int], list[str]]:
    if not target.classes:
        return [0], ["event 0"]
    labels = file.column(file.layout.target)
    shown = target.classes[:MOST_EXAMPLES]
    rows = [int(np.argmax(labels == item.label)) for item in shown]
    return rows, [f"{item.name}, event {row}" for item, row in zip(shown, rows, strict=True)]
