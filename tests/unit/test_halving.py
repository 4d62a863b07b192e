"""Our halving decides as Optuna's SuccessiveHalvingPruner does."""

import math

import numpy as np
import optuna
import pytest

from study._halving import Halving


def test_rungs_are_the_epochs_before_the_last_at_which_a_trial_may_be_stopped() -> None:
    assert Halving("maximize").rungs(12) == (1, 3, 9)
    assert Halving("maximize").rungs(9) == (1, 3)
    assert Halving("maximize", min_resource=2, reduction_factor=2, early_rungs=1).rungs(20) == (4, 8, 16)
    assert Halving("maximize").rungs(1) == ()


def test_a_value_that_is_no_number_is_stopped() -> None:
    assert Halving("maximize").stops(math.nan, others=0, better=0)


def test_a_share_of_the_trials_passes_the_first_rung_and_no_other() -> None:
    halving = Halving("maximize", spare=1 / 3)

    spared = [number for number in range(300) if halving.spares(1, number)]

    assert len(spared) == pytest.approx(100, abs=2)
    assert max(np.diff(spared)) <= 5  # evenly among the trials
    assert not any(halving.spares(3, number) for number in range(300))
    assert not any(Halving("maximize").spares(1, number) for number in range(300))


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize(("factor", "bootstrap"), [(3, 0), (2, 0), (4, 2)])
def test_every_decision_is_optunas(direction: str, factor: int, bootstrap: int) -> None:
    random = np.random.default_rng(0)
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=factor, bootstrap_count=bootstrap)
    study = optuna.create_study(direction=direction, pruner=pruner)
    halving = Halving(direction, reduction_factor=factor, bootstrap=bootstrap)  # type: ignore[arg-type]
    reached: dict[int, list[float]] = {rung: [] for rung in halving.rungs(30)}

    for _ in range(120):
        trial = study.ask()
        for epoch in range(1, 30):
            value = round(float(random.normal()), 1)  # with ties
            trial.report(value, epoch)
            pruned = trial.should_prune()
            if epoch in reached:
                better = sum(o > value if direction == "maximize" else o < value for o in reached[epoch])
                assert halving.stops(value, len(reached[epoch]), better) == pruned
                reached[epoch].append(value)
            else:
                assert not pruned
            if pruned:
                break
        study.tell(trial, 0.0)
