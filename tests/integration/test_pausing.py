"""Halving that pauses: stopped trials wait with a checkpoint, go on when they are promoted, or are given up."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from jobs import create, took
from lab import Lab
from optuna.trial import TrialState

from storage import attempts, pausing, studies
from storage.claims import Refusal, claim
from storage.database import Database
from storage.endings import Ending
from storage.errors import LeaseLost
from storage.history import read_trials
from storage.tables import AttemptState
from study._halving import Halving
from study.pruning import HalvingPruning

ENDING = Ending(TrialState.PRUNED, values=(0.5,), attributes={"epochs": 1})


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    create(url, trials=4)
    opened = Database(url)
    yield opened
    opened.close()


def study_id(database: Database) -> int:
    return studies.list_studies(database)[0].study_id


def next_one(database: Database, *promote: int) -> attempts.Claim | Refusal:
    return claim(database, study_id(database), agent_id="a", slot=0, lease_s=60, lost_retries=3, promote=promote)


def waits(database: Database, value: float = 0.5) -> attempts.Claim:
    """A trial that waits after its first epoch."""
    taken = took(database, study_id(database))
    attempts.report(database, taken, 1, value)
    pausing.pause(database, taken, f"files/trial-{taken.number}/epoch-1.pt", ENDING)
    return taken


def test_a_paused_trial_holds_no_device_and_nobody_takes_it_up_unasked(database: Database) -> None:
    paused = waits(database)

    other = took(database, paused.study_id)

    assert other.number != paused.number
    row = read_trials(database, paused.study_id)[0]
    assert (row.state, row.attempt_state, row.message) == (TrialState.RUNNING, AttemptState.PAUSED, None)


def test_a_promoted_trial_goes_on_from_its_checkpoint_before_new_ones_begin(database: Database) -> None:
    paused = waits(database)

    taken = next_one(database, paused.trial_id)

    assert isinstance(taken, attempts.Claim)
    assert (taken.trial_id, taken.attempt, taken.reported) == (paused.trial_id, 2, 1)
    assert taken.checkpoint == f"files/trial-{paused.number}/epoch-1.pt"


def test_a_trial_is_promoted_once(database: Database) -> None:
    paused = waits(database)
    next_one(database, paused.trial_id)

    again = next_one(database, paused.trial_id)

    assert isinstance(again, attempts.Claim)
    assert again.trial_id != paused.trial_id


def test_what_is_given_up_ends_as_pruned_with_what_it_had(database: Database) -> None:
    paused, other = waits(database), waits(database)

    assert pausing.give_up(database, paused.study_id, [paused.trial_id]) == [paused.number]

    rows = read_trials(database, paused.study_id)
    assert (rows[0].state, rows[0].value, rows[0].attributes) == (TrialState.PRUNED, 0.5, {"epochs": 1})
    assert rows[other.number].attempt_state is AttemptState.PAUSED


def test_trials_that_wait_are_given_up_when_the_budget_is_used_and_nothing_runs(database: Database) -> None:
    for _ in range(4):
        waits(database)

    assert next_one(database) is Refusal.DONE

    assert {row.state for row in read_trials(database, study_id(database))} == {TrialState.PRUNED}


def test_a_promoted_trial_takes_nothing_from_the_budget(database: Database) -> None:
    taken = [waits(database) for _ in range(4)]

    promoted = next_one(database, taken[0].trial_id)

    assert isinstance(promoted, attempts.Claim)
    assert studies.list_studies(database)[0].started == 4


def test_a_trial_that_was_taken_over_cannot_be_paused(database: Database) -> None:
    taken = took(database, study_id(database))
    attempts.hand_back(database, taken)

    with pytest.raises(LeaseLost):
        pausing.pause(database, taken, "files/epoch-1.pt", ENDING)


def rung(database: Database, values: list[float]) -> tuple[HalvingPruning, list[attempts.Claim], list[bool]]:
    """Trials that report these values at the first rung, one after the other; whether each is stopped."""
    pruning = HalvingPruning(Halving("maximize"), study_id(database), 9, pauses=True)
    claims, stopped = [], []
    for value in values:
        taken = took(database, study_id(database))
        attempts.report(database, taken, 1, value, pruning.reading(1))
        stops = pruning.stops(taken, 1, value)
        if stops and pruning.pausing is not None and pruning.pausing.keeps(taken, 1, value):
            pausing.pause(database, taken, "files/epoch-1.pt", ENDING)
        claims.append(taken)
        stopped.append(stops)
    return pruning, claims, stopped


class TestPromotion:
    @pytest.fixture
    def database(self, sqlite_url: str) -> Iterator[Database]:
        create(sqlite_url, trials=None)
        opened = Database(sqlite_url)
        yield opened
        opened.close()

    def test_a_trial_goes_on_when_worse_ones_have_made_it_one_of_the_best_third(self, database: Database) -> None:
        pruning, claims, stopped = rung(database, [0.9, 0.8, 0.1, 0.2, 0.3])
        assert pruning.pausing is not None
        pausing.look(database, pruning.pausing.read)
        before = pruning.pausing.promotable()

        sixth = took(database, study_id(database))
        attempts.report(database, sixth, 1, 0.15)
        pausing.look(database, pruning.pausing.read)

        assert stopped == [False, True, True, True, True]
        assert before == []
        assert pruning.pausing.promotable() == [claims[1].trial_id]

    def test_only_the_best_of_a_rung_wait(self, database: Database) -> None:
        pruning, claims, _ = rung(database, [0.9, 0.5, 0.6, 0.1])
        assert pruning.pausing is not None
        pausing.look(database, pruning.pausing.read)

        waiting = {trial.trial_id for trial in pruning.pausing.waiting}

        assert waiting == {claims[1].trial_id, claims[2].trial_id}  # two for the one worker there may be
        assert pruning.pausing.surplus() == []

    def test_a_trial_that_the_rest_of_the_budget_cannot_lift_does_not_wait(self, database: Database) -> None:
        pruning, _, _ = rung(database, [0.9, 0.5, 0.6])
        assert pruning.pausing is not None
        pausing.look(database, pruning.pausing.read)

        pruning.pausing.left = 0

        assert len(pruning.pausing.surplus()) == 2


class TestStudy:
    @pytest.fixture
    def lab(self, tmp_path: Path) -> Iterator[Lab]:
        found = Lab(tmp_path / "lab")
        yield found
        found.clean_up()

    def test_ends_with_every_trial_told_and_nothing_left_behind(self, lab: Lab) -> None:
        lab.create(
            budget={"trials": 12},
            training={"epochs": 9},
            space={"model": "mlp", "mlp.depth": 1},
            search={"pruner": {"name": "asha", "pause": True}, "sampler": {"name": "tpe", "n_startup_trials": 4}},
        )

        assert lab.work(workers=2) is Refusal.DONE

        trials = lab.trials()
        assert len(trials) == 12
        assert {trial.attempt_state for trial in trials} == {AttemptState.FINISHED}
        assert any(trial.state is TrialState.COMPLETE for trial in trials)
        pruned = [trial for trial in trials if trial.state is TrialState.PRUNED and not trial.failure]
        assert all(trial.attributes["epochs"] == max(trial.values) for trial in pruned)
        kept = {path.parent.parent.name for path in (lab.folder / "study-files" / "q").glob("trial-*/*/*")}
        assert kept <= {f"trial-{trial.number}" for trial in trials if trial.weights}
