"""An agent's pruning decides as Optuna's pruners do that look at the database anew, at a fraction of the statements."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import optuna
import pytest
from jobs import create, took
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, PatientPruner, SuccessiveHalvingPruner
from optuna.trial import TrialState
from sqlalchemy import Engine, event

from storage import attempts, studies
from storage.attempts import Claim
from storage.endings import Ending
from storage.trial_storage import TrialStorage
from storage.trials import open_storage
from study._halving import Halving
from study.pruning import HalvingPruning, OptunaPruning, Pruning

EPOCHS = 12
PRUNERS: dict[str, Callable[[], BasePruner]] = {
    "median": lambda: MedianPruner(n_startup_trials=3, n_warmup_steps=1),
    "patient": lambda: PatientPruner(MedianPruner(n_startup_trials=2), patience=1),
    "hyperband": lambda: HyperbandPruner(max_resource=EPOCHS),
    "successive_halving": lambda: SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
}


@contextmanager
def counted() -> Iterator[list[str]]:
    seen: list[str] = []

    def executed(connection: object, cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith(("BEGIN", "SET", "PRAGMA")):
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", executed)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", executed)


@pytest.fixture
def storage(url: str) -> Iterator[TrialStorage]:
    create(url, trials=None)
    opened = open_storage(url)
    yield opened
    opened.close()


def finish(storage: TrialStorage, claim: Claim, value: float, *, pruned: bool) -> None:
    state = TrialState.PRUNED if pruned else TrialState.COMPLETE
    attempts.finish(storage.database, claim, Ending(state, values=(value,)))


def report(storage: TrialStorage, pruning: Pruning, claim: Claim, epoch: int, value: float) -> bool:
    attempts.report(storage.database, claim, epoch, value, pruning.reading(epoch))
    return pruning.stops(claim, epoch, value)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", PRUNERS)
def test_optunas_pruners_decide_the_same_from_what_was_read_last(name: str, storage: TrialStorage) -> None:
    study_id = studies.list_studies(storage.database)[0].study_id
    pruning = OptunaPruning(PRUNERS[name](), storage, "study", EPOCHS)
    theirs = optuna.create_study(study_name="study", direction="maximize", pruner=PRUNERS[name]())
    random, decisions = np.random.default_rng(1), set()

    for _ in range(6):
        running = [(took(storage.database, study_id), theirs.ask()) for _ in range(3)]
        for epoch in range(1, EPOCHS):
            for claim, trial in list(running):
                value = float(random.normal())
                trial.report(value, epoch)
                stops = trial.should_prune()
                assert report(storage, pruning, claim, epoch, value) == stops
                decisions.add(stops)
                if stops:
                    theirs.tell(trial, state=TrialState.PRUNED)
                    finish(storage, claim, value, pruned=True)
                    running.remove((claim, trial))
        for claim, trial in running:
            theirs.tell(trial, 0.5)
            finish(storage, claim, 0.5, pruned=False)

    assert decisions == {True, False}


def test_an_epoch_with_optunas_pruner_is_four_statements_once_the_study_is_known(storage: TrialStorage) -> None:
    study_id = studies.list_studies(storage.database)[0].study_id
    pruning = OptunaPruning(MedianPruner(), storage, "study", EPOCHS)
    other, claim = took(storage.database, study_id), took(storage.database, study_id)
    report(storage, pruning, other, 1, 0.5)
    report(storage, pruning, claim, 1, 0.25)

    with counted() as statements:
        report(storage, pruning, claim, 2, 0.25)

    assert len(statements) == 4


def test_an_epoch_of_our_halving_is_one_statement_and_at_a_rung_two(storage: TrialStorage) -> None:
    study_id = studies.list_studies(storage.database)[0].study_id
    pruning = HalvingPruning(Halving("maximize"), study_id, EPOCHS)
    claim = took(storage.database, study_id)
    report(storage, pruning, claim, 1, 0.5)

    with counted() as between:
        report(storage, pruning, claim, 2, 0.5)
    with counted() as at_rung:
        report(storage, pruning, claim, 3, 0.5)

    assert (len(between), len(at_rung)) == (1, 2)


def test_our_halving_counts_every_agents_trials_of_its_own_study_and_no_others(url: str, storage: TrialStorage) -> None:
    create(url, "other", trials=None)
    mine, theirs = (studies.load_study(storage.database, name).study_id for name in ("study", "other"))
    here, there = (HalvingPruning(Halving("maximize"), mine, EPOCHS) for _ in range(2))
    better = took(storage.database, theirs)
    report(storage, HalvingPruning(Halving("maximize"), theirs, EPOCHS), better, 1, 9.0)

    first = took(storage.database, mine)
    assert not report(storage, here, first, 1, 0.5)
    assert report(storage, there, took(storage.database, mine), 1, 0.25)
    assert not report(storage, here, took(storage.database, mine), 1, 0.75)
