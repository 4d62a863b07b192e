"""Plots stay small and say what they should, whatever the trials are."""

import json
import math
from datetime import datetime, timedelta
from typing import Any

import pytest
from optuna.trial import TrialState

from objectives._task import Direction
from storage.history import TrialRow
from storage.tables import AttemptState
from storage.timeline import Spell
from study.board import physics, progress

BEGIN = datetime(2026, 1, 1)


def trial(number: int, value: float | None, *, seconds: float = 1.0, epochs: int = 20, **changes: Any) -> TrialRow:
    values = {epoch: (value or 0.0) * epoch / epochs for epoch in range(1, epochs + 1)}
    known: dict[str, Any] = {
        "trial_id": number,
        "number": number,
        "state": TrialState.COMPLETE,
        "value": value,
        "parameters": {"model": "cnn"},
        "attributes": {},
        "values": values,
        "ours": True,
        "attempts": 1,
        "attempt_state": AttemptState.FINISHED,
        "failure": None,
        "message": None,
        "agent_id": "a",
        "slot": 0,
        "seconds": seconds,
        "weights": None,
        "started_at": BEGIN,
        "ended_at": BEGIN,
        "token": "t",
    }
    return TrialRow(**known | changes)


def test_plots_of_ten_thousand_trials_stay_small() -> None:
    trials = [trial(number, number / 10_000, seconds=1 + number % 7) for number in range(10_000)]
    spells = [
        Spell(number, 1, AttemptState.FINISHED, TrialState.PRUNED, "host #0", BEGIN + timedelta(number), 3.0)
        for number in range(400)
    ]

    made = [
        progress.learning_curves(trials, "accuracy", "maximize"),
        progress.worker_timeline(spells),
        progress.accuracy_against_cost(trials, "accuracy", "maximize"),
    ]

    assert all(len(json.dumps(plot)) < 60_000 for plot in made)


def test_the_curves_shown_are_the_best_and_the_last() -> None:
    trials = [trial(number, value) for number, value in enumerate([0.9, *[0.1] * 200, 0.2])]

    plot = progress.learning_curves(trials, "accuracy", "maximize")

    assert plot is not None
    names = [trace["name"] for trace in plot["data"]]
    assert {"trial 0 (complete)", "trial 201 (complete)", "trial 200 (complete)"} <= set(names)
    assert len(names) <= progress.MOST_CURVES + 1


@pytest.mark.parametrize(
    ("direction", "front"), [("maximize", [(1, 0.5), (3, 0.9)]), ("minimize", [(1, 0.5), (2, 0.1)])]
)
def test_no_trial_on_the_front_is_worse_than_a_cheaper_one(
    direction: Direction, front: list[tuple[float, float]]
) -> None:
    costs = {(1, 0.5), (2, 0.1), (3, 0.9), (4, 0.6), (5, math.nan)}
    trials = [trial(i, value, seconds=seconds) for i, (seconds, value) in enumerate(sorted(costs))]

    plot = progress.accuracy_against_cost(trials, "accuracy", direction)

    assert plot is not None
    line = plot["data"][1]
    assert list(zip(line["x"], line["y"], strict=True)) == front


def test_each_attempt_is_a_bar_by_how_it_ended() -> None:
    spells = [
        Spell(0, 1, AttemptState.LOST, TrialState.COMPLETE, "a #0", BEGIN, 2.0),
        Spell(0, 2, AttemptState.FINISHED, TrialState.COMPLETE, "b #0", BEGIN, 3.5),
        Spell(1, 1, AttemptState.RUNNING, TrialState.RUNNING, "a #0", BEGIN, 1.0),
    ]

    plot = progress.worker_timeline(spells)

    assert plot is not None
    assert {trace["name"]: (trace["y"], trace["x"]) for trace in plot["data"]} == {
        "lost": (["a #0"], [2000]),
        "complete": (["b #0"], [3500]),
        "running": (["a #0"], [1000]),
    }


def test_what_is_not_finite_is_no_point() -> None:
    trials = [trial(0, 0.5, values={1: math.nan, 2: 0.5, 3: math.inf})]

    plot = progress.learning_curves(trials, "accuracy", "maximize")

    assert plot is not None
    assert plot["data"][0]["y"] == [None, 0.5, None]
    json.dumps(plot, allow_nan=False)


def test_without_trials_or_diagnostics_there_are_no_plots() -> None:
    assert progress.learning_curves([], "accuracy", "maximize") is None
    assert progress.worker_timeline([]) is None
    assert progress.accuracy_against_cost([], "accuracy", "maximize") is None
    for make in (physics.confusion_matrix, physics.roc_curve, physics.rejection, physics.response_histograms):
        assert make({"kind": "other", "events": 0}, "") is None
