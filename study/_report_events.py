"""Displays of the events that a network gets most wrong."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from objectives._data import Dataset
from objectives._diagnostics import class_probabilities
from objectives._evaluation import predict
from objectives._float16 import with_float16
from objectives._source import EventSource, FileSource
from objectives._statistics import normalizer
from objectives._task import Task
from storage.errors import StudyhallError
from study._diagnosing import energies_of
from study._images import draw_stored
from study._report_figures import Picture
from study.bundle import Bundle
from study.plan import check_fingerprint, make_task, open_data
from study.weights import one_thread

LOOKED_AT = 2000  # events, the first of the part
SHOWN = 3

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def worst_events(bundle: Bundle, part: str) -> tuple[list[Picture], str]:
    """The events of a part of the split that are most confidently wrong, or farthest from the true value.

    Returns:
        The picture, and why there is none, or an empty text.
    """
    try:
        dataset = open_data(bundle.plan)
        check_fingerprint(bundle.plan, bundle.facts, dataset)
    except (StudyhallError, OSError) as error:
        return [], f"Events cannot be shown: {error}"
    indices = getattr(dataset.split, part)[:LOOKED_AT]
    task = make_task(bundle.plan, bundle.facts)
    predictions = _predictions(bundle, task, dataset, indices)
    chosen, titles = _worst(task, predictions, dataset, indices)
    if not len(chosen):
        return [], f"None of the first {len(indices):,} {part} events is wrong."
    rows = indices[chosen]
    events = dataset.file.events()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.png"
        draw_stored([np.asarray(events[row], np.float32) for row in rows.tolist()], dataset.axes, path, titles)
        png = path.read_bytes()
    what = (
        "taken for another class with the highest probability" if task.classes else "farthest off, relative to |true|"
    )
    caption = f"Of the first {len(indices):,} {part} events, those that are {what}."
    return [Picture("Events that are most wrong", caption, png)], ""


def _predictions(bundle: Bundle, task: Task, dataset: Dataset, indices: Indices) -> Floats:
    normalize = normalizer(bundle.plan.space.learning(bundle.sampled).normalize, bundle.facts.statistics)
    with one_thread():
        model = bundle.network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as torch lacks it
        precision = bundle.plan.config.training.precision
        source: EventSource = FileSource(dataset.file, indices)
        source = with_float16(source, dataset.axes, bundle.plan.config.data.float16_channels)
        return predict(model, task, source, dataset.axes, normalize, torch.device("cpu"), precision=precision)


def _worst(task: Task, predictions: Floats, dataset: Dataset, indices: Indices) -> tuple[Indices, list[str]]:
    """Positions among the indices, worst first, and a title for each."""
    targets = dataset.targets[indices]
    energies = energies_of(dataset.file)
    if task.classes:
        probabilities = class_probabilities(predictions, len(task.classes))
        if probabilities is None:
            return np.empty(0, np.int64), []
        scores, texts = _confidence(task, probabilities, np.asarray(task.encode(targets)))
    else:
        scores, texts = _distance(predictions[:, 0], targets.astype(np.float64))
    chosen = np.argsort(-scores, kind="stable")[:SHOWN]
    chosen = chosen[scores[chosen] > 0]
    titles = [f"event {indices[place]}: {texts(int(place))}" for place in chosen]
    if energies is not None and dataset.file.layout.energies != dataset.file.layout.target:
        titles = [f"{title}, {energies[indices[place]]:.0f} MeV" for title, place in zip(titles, chosen, strict=True)]
    return chosen, [title.replace("$", r"\$") for title in titles]  # no mathematics


def _confidence(task: Task, probabilities: Floats, encoded: Indices) -> tuple[Floats, Any]:
    taken = probabilities.argmax(axis=1)
    highest = np.where(taken == encoded, 0, probabilities.max(axis=1))

    def text(place: int) -> str:
        true, wrong = task.classes[encoded[place]], task.classes[taken[place]]
        return f"{true}, taken as {wrong} ({100 * highest[place]:.1f} %)"

    return np.nan_to_num(highest), text


def _distance(predicted: Floats, true: Floats) -> tuple[Floats, Any]:
    relative = np.divide(predicted - true, np.abs(true), out=np.zeros(len(true)), where=true != 0)
    return np.nan_to_num(np.abs(relative)), lambda place: f"true {true[place]:.4g}, predicted {predicted[place]:.4g}"
