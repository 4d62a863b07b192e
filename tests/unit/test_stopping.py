"""What the last trials gained, and what of it ends a search."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from summaries import summary, trial

from storage.errors import ConfigError
from study._improvement import improvement
from study.config import BudgetSection
from study.goals import goal_reached, hours, limits
from study.loading import validated
from study.plan import Plan, build_plan
from study.screen.head import gain


def plan(direction: str = "maximize", **budget: Any) -> Plan:
    metric = "accuracy" if direction == "maximize" else "log_loss"
    tree = {"data": {"path": "events.h5"}, "study": {"metric": metric}, "budget": budget}
    return build_plan(validated(tree, default_name="q", source="test"), Path())


def rows(*values: float) -> list[Any]:
    return [trial(number, value=value, attributes={"accuracy": value}) for number, value in enumerate(values)]


def test_the_gain_of_the_last_trials_is_from_the_best_before_them_to_the_best_now() -> None:
    found = improvement(rows(0.5, 0.7, 0.6, 0.9, 0.8), "maximize", last=2)

    assert (found.trials, found.last, found.before, found.best, found.since) == (5, 2, 0.7, 0.9, 1)
    assert found.gain == pytest.approx(0.2)


def test_a_gain_is_positive_where_less_is_better() -> None:
    found = improvement(rows(0.5, 0.7, 0.25), "minimize", last=1)

    assert (found.before, found.best, found.gain, found.since) == (0.5, 0.25, 0.25, 0)


def test_an_equal_value_is_no_improvement() -> None:
    assert improvement(rows(0.5, 0.9, 0.9, 0.9), "maximize").since == 2


def test_pruned_trials_count_and_failed_running_and_foreign_ones_do_not() -> None:
    others = [
        trial(1, TrialState.PRUNED, 0.99),
        trial(2, TrialState.FAIL),
        trial(3, TrialState.RUNNING, 0.99),
        trial(4, value=0.99, ours=False),
        trial(5, value=math.nan),
    ]

    found = improvement([*rows(0.5), *others], "maximize")

    assert (found.trials, found.best, found.since) == (3, 0.5, 2)


def test_trials_count_in_the_order_of_their_ends() -> None:
    first, second = rows(0.9, 0.5)

    found = improvement([first, replace(second, ended_at=first.started_at)], "maximize", last=1)

    assert (found.before, found.best, found.since) == (0.5, 0.9, 0)


def test_nothing_is_said_of_a_gain_before_there_are_that_many_trials() -> None:
    assert improvement([], "maximize") == improvement([trial(0, TrialState.RUNNING)], "maximize")
    assert improvement(rows(0.5, 0.6), "maximize", last=2).gain is None


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([0.5, 0.9, 0.8, 0.7], None),
        ([0.9, 0.8, 0.7, 0.6], "no better accuracy than 0.9 in the last 3 trials"),
        ([0.5, 0.5, 0.5], None),
        ([math.nan, math.nan, math.nan], "none of 3 trials was completed"),
    ],
)
def test_a_search_ends_after_so_many_trials_without_a_better_one(values: list[float], reason: str | None) -> None:
    assert goal_reached(plan(no_improvement=3), rows(*values)) == reason


def test_a_target_is_reached_only_by_complete_trials_of_the_study() -> None:
    goal = plan(until={"accuracy": 0.8})
    no = [trial(0, TrialState.PRUNED, attributes={"accuracy": 0.9}), *(replace(row, ours=False) for row in rows(0.9))]

    assert goal_reached(goal, no) is None
    assert goal_reached(goal, [*no, *rows(0.85)]) == "accuracy 0.85 reached 0.8"


def test_the_limits_of_a_budget_are_told_in_words() -> None:
    budget = BudgetSection(trials=20, gpu_hours=1.5, wall_time="1h30m", no_improvement=50, until={"accuracy": 0.9})

    assert list(limits(budget)) == [
        "20 trials",
        "1.5 GPU hours",
        "1h30m from the first trial on",
        "50 trials without a better one",
        "accuracy 0.9",
    ]


@pytest.mark.parametrize("text", ["90s", "30m", "1h30m", "2d", "1d1h1m1s", "0.5s"])
def test_durations_are_told_as_they_are_given(text: str) -> None:
    seconds = BudgetSection(wall_time=text).wall_time

    assert BudgetSection(wall_time=hours(seconds or 0.0)).wall_time == seconds


@pytest.mark.parametrize("end", [{"wall_time": "2h"}, {"no_improvement": 30}])
def test_time_or_a_lack_of_improvement_alone_may_end_a_search(end: dict[str, Any]) -> None:
    assert plan(trials=None, **end).config.budget.trials is None


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"trials": None}, "at least one of trials, gpu_hours, wall_time, no_improvement, until"),
        ({"wall_time": "soon"}, r"budget.wall_time is .soon.; .*90s, 30m, 4h"),
        ({"wall_time": 0}, r"budget.wall_time is 0"),
        ({"no_improvement": 0}, r"budget.no_improvement is 0"),
        ({"no_improvement": True}, r"budget.no_improvement is true"),
    ],
)
def test_a_budget_that_says_nothing_sensible_is_refused(budget: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(**budget)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], []),
        ([0.5, 0.9, 0.8], ["last improvement 1 trial ago, of 3 with a result"]),
        (
            [0.5] * 10 + [0.7] + [0.6] * 45,
            ["last 50 trials gained 0.2000 (from 0.5000); last improvement 45 trials ago"],
        ),
        ([0.5] * 60, ["last 50 trials gained nothing; last improvement 59 trials ago"]),
    ],
)
def test_the_screen_tells_what_the_last_trials_gained(values: list[float], line: list[str]) -> None:
    assert [text.plain for text in gain(summary(rows(*values)))] == line


def test_what_the_last_trials_gained_is_in_the_json() -> None:
    found = summary(rows(*[0.5] * 50, 0.75)).to_json()["improvement"]

    assert found == {"trials": 51, "last": 50, "before": 0.5, "best": 0.75, "gain": 0.25, "since": 0}
