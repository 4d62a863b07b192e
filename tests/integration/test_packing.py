"""``workers.per_device: auto`` with real workers; only what the device tells is made up."""

import logging
from pathlib import Path

import pytest
from lab import ODD, Lab

from storage.claims import Refusal
from study import _packer, _packing, devices
from study._load import Load
from study.agent import Agent

SLOW = ODD | {"odd.pause": 0.02, "odd.mood": {"choice": ["calm", "memory"]}}
STUDY = {"space": SLOW, "workers": {"per_device": "auto"}, "search": {"pruner": "none"}}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(_packer, "SAMPLE_S", 0.05)
    monkeypatch.setattr(_packer, "load_of", lambda device, monitor: Load(0.3, 2.0**36))
    monkeypatch.setattr(_packing, "GAIN", 0.5)  # a busy machine slows the others down
    monkeypatch.setattr(devices, "cpu_count", lambda: 8)
    return Lab(tmp_path / "lab")


def test_workers_are_added_while_each_gets_more_done(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    lab.create(queue=[{"odd.mood": "calm"}] * 8, budget={"trials": 8}, training={"epochs": 12}, **STUDY)

    with caplog.at_level(logging.INFO, "study"):
        ended = Agent(lab.url, "q", workers=3, devices="cpu:0").run()

    trials = lab.trials()
    at_once = max(sum(t.started_at <= each.started_at < t.ended_at for t in trials) for each in trials)
    assert ended is Refusal.DONE
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 8
    assert at_once == 3
    assert "cpu:0: 3 workers share it from now on" in caplog.messages


def test_a_trial_out_of_memory_beside_others_is_tried_again_alone_at_no_cost(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    queue = [{"odd.mood": mood} for mood in ("calm", "memory", "calm")]
    lab.create(queue=queue, budget={"trials": 3}, training={"epochs": 12}, **STUDY)

    with caplog.at_level(logging.INFO, "study"):
        ended = Agent(lab.url, "q", devices="cpu:0").run()

    ends = [(trial.state.name, trial.failure, trial.attempts) for trial in lab.trials()]
    assert ended is Refusal.DONE
    assert ends == [("COMPLETE", None, 1), ("PRUNED", "oom", 2), ("COMPLETE", None, 1)]
    assert "cpu:0: memory ran out; from now on it has 1 workers" in caplog.messages
