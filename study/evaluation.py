"""Use an export: compute its metrics again, or predict."""

import os
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from objectives._evaluation import predict
from objectives._events import Events
from objectives._float16 import with_float16
from objectives._source import EventSource, FileSource
from objectives._split import selected
from objectives._statistics import normalizer
from storage.errors import ConfigError, DataError
from storage.hdf5 import EventFile
from study.bundle import Bundle, Metrics, load_bundle
from study.openings import AGREE, events_metrics, measure
from study.plan import layout_of, make_task, selection_of
from study.weights import one_thread


@dataclass(frozen=True)
class Evaluation:
    """Metrics computed again.

    Attributes:
        compared: Parts whose metrics were compared with the export's record, and agree.
    """

    metrics: Metrics
    compared: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


def evaluate_export(folder: Path, data: Path | None) -> Evaluation:
    """Compute an export's metrics again.

    Args:
        folder: The export.
        data: Another file with a target; None means the study's own, on which the metrics must agree with the
            record. The test events are used only if they were opened for this trial before.

    Raises:
        DataError: The data cannot be used, or a metric does not agree.
        ConfigError: The folder is no export.
    """
    bundle = load_bundle(folder)
    if data is not None:
        return Evaluation({data.name: _file_metrics(bundle, data)}, ())
    model = bundle.network()
    metrics: Metrics = {}
    for part, recorded in bundle.metrics.items():
        if recorded is None:
            continue
        computed = measure(bundle.plan, bundle.facts, model, bundle.sampled, part).metrics
        for name, value in recorded.items():
            _agree(bundle, part, name, value, computed.get(name))
        metrics[part] = computed
    return Evaluation(metrics, tuple(metrics))


def _agree(bundle: Bundle, part: str, name: str, recorded: float | None, computed: float | None) -> None:
    if recorded is None or computed is None:
        same = recorded is computed
    else:
        same = abs(recorded - computed) <= AGREE * max(1.0, abs(recorded))
    if not same:
        raise DataError(
            f"{bundle.folder}: {part} {name} is {computed}, but {recorded} is recorded; the weights, the configuration "
            "or the data have changed since the export"
        )


def _file_metrics(bundle: Bundle, path: Path) -> dict[str, float | None]:
    file = _open(bundle, path)
    if file.fingerprint() == dict(bundle.facts.fingerprint):
        raise ConfigError(
            f"--data {path} is the study's own file: it holds events that the network was trained on, and test events; "
            "leave --data out to compute the recorded metrics again"
        )
    target = bundle.plan.config.data.target
    targets = file.column(target)
    classes = bundle.plan.kind.classes(bundle.plan.options, targets, file.class_names)
    indices = selected(file, selection_of(bundle.plan, classes))
    events = Events(_source(bundle, file, indices), targets[indices], file.layout.axes)
    metrics, _ = events_metrics(bundle.plan, bundle.facts, bundle.network(), bundle.sampled, events)
    return metrics


def _source(bundle: Bundle, file: EventFile, indices: NDArray[np.int64]) -> EventSource:
    return with_float16(FileSource(file, indices), file.layout.axes, bundle.plan.config.data.float16_channels)


def predict_file(folder: Path, data: Path, to: Path, *, overwrite: bool) -> int:
    """Write predictions for every event of a file; the number of events.

    The HDF5 file has ``predictions`` (N, K) float64 with the names of its K columns as attribute ``columns``: class
    probabilities, or values in the target's unit. Row i belongs to event i.

    Raises:
        DataError: The file does not suit the export.
        FileExistsError: `to` exists.
    """
    if to.exists() and not overwrite:
        raise FileExistsError(f"{to} exists; --force overwrites it")
    if not to.absolute().parent.is_dir():
        raise ConfigError(f"--out {to}: the folder {to.absolute().parent} does not exist; create it first")
    bundle = load_bundle(folder)
    file = _open(bundle, data)
    task = make_task(bundle.plan, bundle.facts)
    normalize = normalizer(bundle.plan.space.learning(bundle.sampled).normalize, bundle.facts.statistics)
    source = _source(bundle, file, np.arange(file.count))
    with one_thread():
        model = bundle.network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as torch lacks it
        precision = bundle.plan.config.training.precision
        cpu = torch.device("cpu")
        predictions = predict(model, task, source, file.layout.axes, normalize, cpu, precision=precision)
    _check_predictions(data, predictions)
    beside = to.absolute().with_name(f".{to.name}-{uuid.uuid4().hex[:8]}")
    try:
        with h5py.File(beside, "w") as handle:
            dataset = handle.create_dataset("predictions", data=predictions)
            dataset.attrs["columns"] = list(task.columns)
            handle.attrs["export"] = str(folder)
            handle.attrs["data"] = str(data)
        os.replace(beside, to)
    finally:
        beside.unlink(missing_ok=True)
    return file.count


def _check_predictions(data: Path, predictions: NDArray[np.float64]) -> None:
    bad = ~np.isfinite(predictions).all(axis=1)
    if bad.any():
        raise DataError(
            f"{data}: the predictions for {bad.sum()} events are not finite, first for event {np.argmax(bad)}; "
            "its values hold NaN, infinity or numbers far from those trained on; `studyhall inspect --all` finds such"
        )


def _open(bundle: Bundle, path: Path) -> EventFile:
    file = EventFile.open(path, layout_of(bundle.plan))
    if file.shape != bundle.facts.shape:
        raise DataError(
            f"{path}: events have shape {file.shape} (C, H, W); {bundle.folder} was trained on {bundle.facts.shape}"
        )
    return file
