"""Opening the test events for a trial: computed once, recorded for good."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from objectives._data import load_source
from objectives._evaluation import evaluate
from objectives._events import Events
from objectives._statistics import normalizer
from storage.agents import user_and_host
from storage.database import Database
from storage.errors import DataError
from storage.history import TrialRow
from storage.openings import list_openings, record_opening
from study._training import build_network
from study.plan import Facts, Plan, check_fingerprint, make_task, open_data
from study.stored import StoredStudy
from study.weights import one_thread

AGREE = 1e-6
"""Largest difference from the record: other processors round differently, the same one not at all."""


def open_test(
    database: Database, stored: StoredStudy, plan: Plan, row: TrialRow, weights: Path
) -> Mapping[str, float | None]:
    """The trial's metrics on the test events: the record where there is one, else computed and recorded.

    Raises:
        DataError: The data cannot be read, or are not those the study was created with.
    """
    for opening in list_openings(database, stored.study_id):
        if opening.number == row.number:
            return opening.metrics
    model = build_network(plan, stored.facts, row.parameters)
    model.load_state_dict(load_file(weights))
    metrics = part_metrics(plan, stored.facts, model, row.parameters, "test")
    record_opening(database, stored.study_id, row.trial_id, metrics, opened_by=user_and_host())
    return metrics


def checked_validation(stored: StoredStudy, plan: Plan, row: TrialRow, weights: Path) -> dict[str, float | None]:
    """The trial's metrics on the validation events, computed again from its weights.

    Raises:
        DataError: A trial that was trained on the CPU does not give its recorded value again: the weights, the code or
            the machine are not those it was trained with, and so its test metrics would not be its own.
    """
    model = build_network(plan, stored.facts, row.parameters)
    model.load_state_dict(load_file(weights))
    metrics = part_metrics(plan, stored.facts, model, row.parameters, "validation")
    computed, recorded = metrics.get(plan.metric), row.value
    same = computed is not None and recorded is not None
    if computed is not None and recorded is not None:
        same = abs(computed - recorded) <= AGREE * max(1.0, abs(recorded))
    if row.attributes.get("device") == "cpu" and not same:
        raise DataError(
            f"trial {row.number}: its weights give {plan.metric} {computed} on the validation events, but {recorded} "
            "is recorded; the weights or the code have changed since it was trained"
        )
    return metrics


def part_metrics(
    plan: Plan, facts: Facts, model: nn.Module, sampled: Mapping[str, Any], part: str
) -> dict[str, float | None]:
    """Metrics of a network on one part of the study's split: ``validation`` or ``test``.

    Raises:
        DataError: The data cannot be read, or are not those the study was created with.
    """
    dataset = open_data(plan)
    check_fingerprint(plan, facts, dataset)
    indices = getattr(dataset.split, part)
    events = Events(load_source(dataset, indices, cache="map"), dataset.targets[indices], dataset.axes)
    return events_metrics(plan, facts, model, sampled, events)


def events_metrics(
    plan: Plan, facts: Facts, model: nn.Module, sampled: Mapping[str, Any], events: Events
) -> dict[str, float | None]:
    """Metrics of a network on any events; those that are undefined are None."""
    normalize = normalizer(plan.space.learning(sampled).normalize, facts.statistics)
    with one_thread():
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's annotation lacks it
        precision = plan.config.training.precision
        metrics, _ = evaluate(
            model, make_task(plan, facts), events, normalize, torch.device("cpu"), precision=precision
        )
    return {name: float(value) if np.isfinite(value) else None for name, value in metrics.items()}
