"""Pictures of events: plain images, or displays of the reference barrel."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from study.display import SHAPE, draw_events

COLUMNS = 4
WIDE_RANGE = 100.0
"""Where the largest value is so many times the median of those above 0, the scale is logarithmic."""


def draw_images(images: Sequence[NDArray[np.floating[Any]]], path: Path, titles: Sequence[str], *, label: str) -> None:
    """Write a PNG of images, each with its own colour bar.

    Args:
        images: (H, W) each, one or more; what is not finite is left white.
        path: Where the PNG goes; what is there is replaced.
        titles: A title for each image.
        label: What the values are.
    """
    if not images or len(images) != len(titles):
        raise ValueError(f"{len(images)} images and {len(titles)} titles; give one title for each of 1 or more")
    columns = min(COLUMNS, len(images))
    rows = math.ceil(len(images) / columns)
    height, width = images[0].shape
    tall = min(3.0, max(0.3, height / width)) * 3.2
    figure = Figure(figsize=(4.2 * columns, (tall + 0.6) * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, image, title in zip(panels, images, titles, strict=False):
        shown = axes.imshow(image, norm=_scale(image), cmap="viridis", interpolation="nearest")
        axes.set_title(title)
        axes.set_xlabel("column")
        axes.set_ylabel("row")
        figure.colorbar(shown, ax=axes, label=label, shrink=0.85)
    for axes in panels[len(images) :]:
        axes.set_visible(False)
    FigureCanvasAgg(figure)
    beside = path.with_name(f".{path.name}.part")
    figure.savefig(beside, format="png", dpi=120)
    beside.replace(path)


def draw_stored(events: Sequence[NDArray[np.floating[Any]]], axes: str, path: Path, titles: Sequence[str]) -> None:
    """Write a PNG of events as they are stored.

    Events of 16×40×(19 + 19) channels are drawn as an unrolled barrel of multi-PMT modules, others as the sum of their
    channels.

    Args:
        events: In the axes of the file, one or more.
        axes: "NHWC", "NCHW" or "NHW".
        path: Where the PNG goes; what is there is replaced.
        titles: A title for each event.
    """
    if events and axes == "NHWC" and events[0].shape == SHAPE:
        draw_events(events, path, titles)
        return
    axis = {"NHWC": -1, "NCHW": 0}.get(axes)
    single = axis is None or events[0].shape[axis] == 1
    images = [event if axis is None else event.sum(axis=axis) for event in events]
    draw_images(images, path, titles, label="value" if single else "sum of the channels")


def _scale(image: NDArray[np.floating[Any]]) -> Normalize:
    finite = image[np.isfinite(image)]
    positive = finite[finite > 0]
    if not len(positive) or finite.min() < 0 or positive.max() < WIDE_RANGE * np.median(positive):
        return Normalize()
    return LogNorm(float(np.median(positive)) / 10, float(positive.max()), clip=True)
