"""Opening the test events for a trial: computed once, recorded for good."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from objectives._data import load_source
from objectives._evaluation import evaluate
from objectives._events import Events
from objectives._float16 import with_float16
from objectives._statistics import normalizer
from storage.agents import user_and_host
from storage.database import Database
from storage.errors import DataError
from storage.history import TrialRow
from storage.openings import list_openings, record_opening
from study._diagnosing import part_diagnostics
from study._training import build_network
from study.plan import Facts, Plan, check_fingerprint, make_task, open_data
from study.stored import StoredStudy
from study.weights import one_thread

AGREE = 1e-6
"""Largest difference from the record: other processors round differently, the same one not at all."""


@dataclass(frozen=True)
class Measured:
    """What a network gives on a part of the split.

    Attributes:
        metrics: Those that are undefined are None.
        diagnostics: As `study._diagnosing.part_diagnostics` gives them.
    """

    metrics: dict[str, float | None]
    diagnostics: dict[str, Any]


def open_test(database: Database, stored: StoredStudy, plan: Plan, row: TrialRow, weights: Path) -> Measured:
    """The trial on the test events: the metrics of the record where there is one, else computed and recorded.

    Raises:
        DataError: The data cannot be read, or are not those the study was created with.
    """
    measured = measure(plan, stored.facts, _trained(stored, plan, row, weights), row.parameters, "test")
    for opening in list_openings(database, stored.study_id):
        if opening.number == row.number:
            return Measured(dict(opening.metrics), measured.diagnostics)
    record_opening(database, stored.study_id, row.trial_id, measured.metrics, opened_by=user_and_host())
    return measured


def checked_validation(stored: StoredStudy, plan: Plan, row: TrialRow, weights: Path) -> Measured:
    """The trial on the validation events, computed again from its weights.

    Raises:
        DataError: A trial that was trained on the CPU does not give its recorded value again: the weights, the code or
            the machine are not those it was trained with, and so its test metrics would not be its own.
    """
    measured = measure(plan, stored.facts, _trained(stored, plan, row, weights), row.parameters, "validation")
    computed, recorded = measured.metrics.get(plan.metric), row.value
    same = computed is not None and recorded is not None
    if computed is not None and recorded is not None:
        same = abs(computed - recorded) <= AGREE * max(1.0, abs(recorded))
    if str(row.attributes.get("device")).startswith("cpu") and not same:
        raise DataError(
            f"trial {row.number}: its weights give {plan.metric} {computed} on the validation events, but {recorded} "
            "is recorded; the weights or the code have changed since it was trained"
        )
    return measured


def measure(plan: Plan, facts: Facts, model: nn.Module, sampled: Mapping[str, Any], part: str) -> Measured:
    """Metrics and diagnostics of a network on one part of the study's split: ``validation`` or ``test``.

    Raises:
        DataError: The data cannot be read, or are not those the study was created with.
    """
    dataset = open_data(plan)
    check_fingerprint(plan, facts, dataset)
    indices = getattr(dataset.split, part)
    source = load_source(dataset, indices, cache="map")
    source = with_float16(source, dataset.axes, plan.config.data.float16_channels)
    events = Events(source, dataset.targets[indices], dataset.axes)
    metrics, predictions = events_metrics(plan, facts, model, sampled, events)
    return Measured(metrics, part_diagnostics(make_task(plan, facts), dataset, part, predictions))


def events_metrics(
    plan: Plan, facts: Facts, model: nn.Module, sampled: Mapping[str, Any], events: Events
) -> tuple[dict[str, float | None], NDArray[np.float64]]:
    """Metrics of a network on any N events, None where undefined, and its predictions (N, K)."""
    normalize = normalizer(plan.space.learning(sampled).normalize, facts.statistics)
    with one_thread():
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's annotation lacks it
        precision = plan.config.training.precision
        metrics, predictions = evaluate(
            model, make_task(plan, facts), events, normalize, torch.device("cpu"), precision=precision
        )
    return {name: float(value) if np.isfinite(value) else None for name, value in metrics.items()}, predictions


def _trained(stored: StoredStudy, plan: Plan, row: TrialRow, weights: Path) -> nn.Module:
    model = build_network(plan, stored.facts, row.parameters)
    model.load_state_dict(load_file(weights))
    return model
