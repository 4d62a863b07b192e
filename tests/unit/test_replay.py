"""Recorded curves under another pruner give what is known by hand, and what Optuna decides live."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from objectives._task import Direction
from study._deciders import make_decider
from study.config import StudyConfig
from study.replay import Course, End, Replay, judge, replay
from study.search import make_pruner

EPOCHS = 9


ASHA = {"name": "asha", "spare": 0}


@dataclass(frozen=True)
class Searched:
    config: StudyConfig
    direction: Direction = "maximize"


def searched(pruner: object, direction: Direction = "maximize") -> Searched:
    tree = {"data": {"path": "x.h5"}, "training": {"epochs": EPOCHS}, "search": {"pruner": pruner}}
    return Searched(StudyConfig.model_validate(tree), direction)


def course(number: int, values: Sequence[float], end: End = End.COMPLETE, each_s: float = 1.0) -> Course:
    value = max(values) if end is End.COMPLETE else None
    return Course(number, list(values), [each_s] * len(values), 0.5, end, value)


def flat(number: int, value: float, each_s: float = 1.0) -> Course:
    return course(number, [value] * EPOCHS, each_s=each_s)


def run(pruner: object, courses: Sequence[Course], slots: int = 1) -> Replay:
    return replay(courses, make_decider(searched(pruner), "q", len(courses)), slots=slots, epochs=EPOCHS)


def test_a_pruner_that_never_prunes_saves_nothing() -> None:
    courses = [flat(number, number / 10) for number in range(6)]

    found = run("none", courses, slots=2)

    assert (found.stopped, found.censored, found.epochs) == (frozenset(), frozenset(), 6 * EPOCHS)
    assert found.device_s == 6 * (EPOCHS + 0.5)
    assert found.wall_s == 3 * (EPOCHS + 0.5)


def test_a_stopped_trial_costs_its_epochs_and_frees_its_slot_at_once() -> None:
    found = run(ASHA, [flat(0, 0.9), flat(1, 0.1), flat(2, 0.2)])

    assert found.stopped == {1, 2}
    assert found.trained == {0: 9, 1: 1, 2: 1}
    assert found.wall_s == found.device_s == 9.5 + 1.5 + 1.5


def test_halving_lets_every_trial_go_on_that_is_better_than_those_before_it() -> None:
    rising = run(ASHA, [flat(0, 0.1), flat(1, 0.2), flat(2, 0.3)])
    falling = run(ASHA, [flat(0, 0.3), flat(1, 0.2), flat(2, 0.1)])

    assert rising.stopped == frozenset()
    assert falling.stopped == {1, 2}


def test_with_two_slots_the_quicker_trial_is_at_the_rung_first() -> None:
    slow_and_bad = [flat(0, 0.1, each_s=2.0), flat(1, 0.2)]

    assert run(ASHA, slow_and_bad, slots=1).stopped == frozenset()
    assert run(ASHA, slow_and_bad, slots=2).stopped == {0}


def test_a_winner_that_begins_badly_is_stopped_and_the_verdict_says_so() -> None:
    late = course(1, [0.1] * 8 + [0.99])
    courses = [flat(0, 0.5), late, flat(2, 0.6)]

    found = run(ASHA, courses)
    verdict = judge(courses, found.stopped, "maximize")

    assert verdict is not None
    assert (verdict.winner, verdict.survives, verdict.best, verdict.rank) == (1, False, 2, 2)
    assert verdict.regret == pytest.approx(0.39)
    assert verdict.tops == {5: 2, 10: 2}


def test_where_the_record_ends_before_the_pruner_would_have_ended_the_trial_it_is_censored() -> None:
    courses = [flat(0, 0.5), course(1, [0.6], End.STOPPED), course(2, [0.1], End.STOPPED), course(3, [0.7], End.OPEN)]

    found = run(ASHA, courses)

    assert found.stopped == {2}
    assert found.censored == {1, 3}
    assert found.trained == {0: 9, 1: 1, 2: 1, 3: 1}


def test_a_trial_that_failed_by_itself_is_neither_stopped_nor_censored() -> None:
    found = run(ASHA, [course(0, [], End.FAILED), course(1, [0.2, 0.3], End.FAILED)])

    assert (found.stopped, found.censored) == (frozenset(), frozenset())
    assert found.trained == {0: 0, 1: 2}
    assert found.wall_s == 0.5 + 2.5


def test_after_the_last_epoch_no_trial_is_stopped() -> None:
    courses = [course(0, [0.5] * 8 + [0.9]), course(1, [0.5] * 8 + [0.1])]

    assert run({"name": "threshold", "lower": 0.2}, courses).stopped == frozenset()


def test_fewer_values_are_better_where_the_metric_is_minimised() -> None:
    courses = [flat(0, 0.1), flat(1, 0.2)]
    decider = make_decider(searched(ASHA, "minimize"), "q", 2)

    assert replay(courses, decider, slots=1, epochs=EPOCHS).stopped == {1}


def test_without_a_complete_trial_there_is_no_verdict() -> None:
    assert judge([course(0, [0.1], End.STOPPED)], frozenset(), "maximize") is None


def test_times_that_do_not_fit_the_epochs_are_refused() -> None:
    with pytest.raises(ValueError, match="trial 3: 2 epochs, but 1 times"):
        Course(3, [0.1, 0.2], [1.0], 0.0, End.FAILED)


PRUNERS: dict[str, object] = {
    "asha": ASHA,
    "halving that waits": {"name": "asha", "reduction_factor": 2, "bootstrap_count": 2, "spare": 0},
    "halving of unknown length": {"name": "successive_halving", "min_resource": "auto"},
    "hyperband": "hyperband",
    "median": {"name": "median", "n_warmup_steps": 1},
    "percentile": {"name": "percentile", "percentile": 25.0},
    "patient": {"name": "patient", "wrapped": {"name": "median", "n_startup_trials": 2}, "patience": 1},
    "threshold": {"name": "threshold", "lower": -1.0},
    "wilcoxon": {"name": "wilcoxon", "p_threshold": 0.3},
}


@pytest.mark.parametrize("name", PRUNERS)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_one_worker_replayed_is_stopped_exactly_where_optunas_own_pruner_stops_it_live(name: str) -> None:
    random = np.random.default_rng(3)
    curves = [list(random.normal(size=EPOCHS)) for _ in range(40)]
    live = _live(PRUNERS[name], curves)

    found = run(PRUNERS[name], [course(number, curve) for number, curve in enumerate(curves)])

    assert {number: found.trained[number] for number in found.stopped} == live
    assert live, "the pruner must have had something to stop"


def _live(pruner: object, curves: Sequence[Sequence[float]]) -> dict[int, int]:
    """The same trials by Optuna's own means: its study, `report`, `should_prune`; where each was stopped."""
    study = optuna.create_study(study_name="q", direction="maximize", pruner=make_pruner(searched(pruner).config))
    stopped = {}
    for curve in curves:
        trial = study.ask()
        for epoch, value in enumerate(curve[:-1], start=1):
            trial.report(value, epoch)
            if trial.should_prune():
                stopped[trial.number] = epoch
                break
        if trial.number in stopped:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, max(curve))
    return stopped
