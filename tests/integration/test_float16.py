"""A study whose charges are kept in float16 trains on the same rounded charges wherever its events lie."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from lab import Lab

from objectives._events import Events
from objectives._resident import Resident
from objectives._tensor import to_tensor
from storage.errors import ConfigError, DataError
from study._preload import Warm
from study._training import TrialData, TrialRun, load_trial_data
from study.openings import measure
from study.plan import build_plan
from study.stored import decoded
from study.weights import one_thread


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def held(lab: Lab, name: str = "q", **data: Any) -> Warm:
    lab.create(name, data=data)
    stored = decoded(lab.record(name))
    plan = build_plan(stored.config, stored.folder)
    return Warm(plan, stored.facts, load_trial_data(plan, stored.facts), ("everything",))


def trained(warm: Warm, data: TrialData) -> tuple[TrialRun, str]:
    run = TrialRun(warm.plan, warm.facts, 0, {p.name: p.default for p in warm.plan.space.searched}, "cpu")
    with one_thread():
        list(run.epochs(data, should_stop=lambda: False))
    return run, hashlib.sha256(run.weights()).hexdigest()


def as_lent(part: Events) -> Events:
    """As a device's holder would lend them."""
    return replace(part, resident=Resident.upload(part.source, part.axes, "cpu", part.float16_channels))


def test_a_trial_has_the_same_bits_whether_its_events_are_sent_or_held(lab: Lab) -> None:
    warm = held(lab, float16_channels=1)
    lent = replace(warm.data, training=as_lent(warm.data.training), validation=as_lent(warm.data.validation))
    (_, sent), (_, there) = trained(warm, warm.data), trained(warm, lent)
    exact = held(lab, "exact")

    assert [tensor.dtype for tensor in lent.training.resident.tensors] == [torch.float16, torch.float32]  # type: ignore[union-attr]
    assert sent == there != trained(exact, exact.data)[1]


def test_metrics_that_are_computed_again_see_the_same_events(lab: Lab) -> None:
    warm = held(lab, float16_channels=2)
    run, _ = trained(warm, warm.data)
    model = run.trainer.model
    model.load_state_dict(run.trainer.best.weights)
    sampled = {p.name: p.default for p in warm.plan.space.searched}

    again = measure(warm.plan, warm.facts, model, sampled, "validation").metrics

    assert again["log_loss"] == run.trainer.history[run.trainer.best.epoch - 1].metrics["log_loss"]


def test_only_the_first_channels_are_rounded(lab: Lab) -> None:
    training = held(lab, float16_channels=1).data.training
    first = np.empty((1, 8, 8, 2), np.float32)
    training.source.rows(np.zeros(1, np.int64), first)
    image = to_tensor(first, training.axes)

    assert torch.equal(image[:, 0], image[:, 0].half().float())
    assert not torch.equal(image[:, 1], image[:, 1].half().float())


def test_more_channels_than_an_event_has_are_refused_with_the_key(lab: Lab) -> None:
    with pytest.raises(ConfigError, match=r"data\.float16_channels is 3; the events have 2 channels: give 0 to 2"):
        lab.create(data={"float16_channels": 3})


def test_a_charge_too_large_for_float16_is_found_when_the_study_is_created(lab: Lab) -> None:
    with h5py.File(lab.folder / "events.h5", "r+") as file:
        file["event_data"][:, 2, 2, 0] = 7e4

    with pytest.raises(DataError, match="the events hold 70000 in a channel that is kept in float16"):
        lab.create(data={"float16_channels": 1})
