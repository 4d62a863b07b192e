"""Trials that were stopped early are ranked by what they have in common with those that went on."""

import math

import optuna
from optuna.trial import FrozenTrial, TrialState

from study._standings import Standings

RUNGS = (1, 3)


def trial(
    number: int, *values: float, state: TrialState = TrialState.PRUNED, final: float | None = None
) -> FrozenTrial:
    made = optuna.trial.create_trial(
        state=state,
        values=None if state is not TrialState.COMPLETE else [values[-1] if final is None else final],
        intermediate_values=dict(enumerate(values, start=1)),
    )
    made.number, made._trial_id = number, number + 100
    return made


def order(trials: list[FrozenTrial], direction: str = "maximize", paused: tuple[int, ...] = ()) -> list[int]:
    """Numbers of the trials that the sampler takes for complete, best first."""
    shown = Standings(RUNGS, direction).shown(trials, paused)  # type: ignore[arg-type]
    complete = [t for t in shown if t.state is TrialState.COMPLETE]
    return [t.number for t in sorted(complete, key=lambda t: t.values[0], reverse=direction == "maximize")]


def test_a_trial_stopped_at_a_rung_is_better_than_one_that_was_worse_there_but_went_on_for_being_early() -> None:
    early = trial(0, 0.2, 0.3, 0.3)
    late = trial(1, 0.5)

    assert order([early, late]) == [1, 0]


def test_trials_are_compared_at_the_last_rung_that_both_have_reached() -> None:
    done = trial(0, 0.4, 0.5, 0.6, 0.9, state=TrialState.COMPLETE)
    slow = trial(1, 0.3, 0.5, 0.7)
    stopped = trial(2, 0.1)

    assert order([stopped, slow, done]) == [1, 0, 2]


def test_a_loss_is_ranked_the_other_way_round() -> None:
    early, late = trial(0, 0.5, 0.4, 0.4), trial(1, 0.2)

    assert order([early, late], "minimize") == [1, 0]


def test_equal_values_at_a_rung_leave_the_one_that_went_on_first() -> None:
    went_on, stopped = trial(1, 0.5, 0.5, 0.5), trial(0, 0.5)

    assert order([stopped, went_on]) == [1, 0]


def test_running_trials_are_left_alone_unless_they_are_paused() -> None:
    running, paused = trial(0, 0.9, state=TrialState.RUNNING), trial(1, 0.5, state=TrialState.RUNNING)

    assert order([running, paused], paused=(paused._trial_id,)) == [1]


def test_failed_and_infeasible_trials_and_those_without_a_value_are_left_alone() -> None:
    infeasible = trial(0, 0.9)
    infeasible._system_attrs["constraints:memory"] = 1.0
    others = [trial(1, 0.5, state=TrialState.FAIL), trial(2)]

    assert infeasible.constraints == {"memory": 1.0}
    assert order([infeasible, *others]) == []


def test_a_value_that_is_no_number_is_the_worst() -> None:
    assert order([trial(0, math.nan), trial(1, 0.1)]) == [1, 0]


def test_the_given_trials_are_not_changed() -> None:
    given = trial(0, 0.2)

    Standings(RUNGS, "maximize").shown([given])

    assert given.state is TrialState.PRUNED
    assert given.value is None
