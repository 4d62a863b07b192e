import json
import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import jobs
import numpy as np
import optuna
import pytest
from jobs import took
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from storage import attempts, endings, studies
from storage.attempts import Claim
from storage.database import Database
from storage.endings import Ending
from storage.epochs import read_epochs
from storage.errors import LeaseLost
from storage.history import TrialRow, read_trials
from storage.tables import AttemptState

COMPLETE = Ending(TrialState.COMPLETE, values=(0.5,), attributes={"accuracy": 0.5}, weights="best.safetensors")


@pytest.fixture
def claimed(url: str, database: Database) -> Claim:
    jobs.create(url)
    return took(database, studies.load_study(database, "study").study_id)


def row(database: Database, claim: Claim) -> TrialRow:
    return read_trials(database, claim.study_id)[claim.number]


def test_a_finished_trial_has_its_end_everywhere(database: Database, claimed: Claim) -> None:
    attempts.report(database, claimed, 1, 0.25)
    attempts.report(database, claimed, 2, 0.5)

    attempts.finish(database, claimed, COMPLETE)

    trial = row(database, claimed)
    assert (trial.state, trial.value, trial.values) == (TrialState.COMPLETE, 0.5, {1: 0.25, 2: 0.5})
    assert (trial.attempt_state, trial.attempts, trial.failure) == (AttemptState.FINISHED, 1, None)
    assert trial.attributes == {"accuracy": 0.5}
    assert trial.weights == "best.safetensors"


def test_an_attribute_written_before_the_end_is_replaced(
    url: str, database: Database, claimed: Claim, stock: Callable[[str], RDBStorage]
) -> None:
    storage = stock(url)
    storage.set_trial_user_attr(claimed.trial_id, "accuracy", "unknown")
    storage.set_trial_user_attr(claimed.trial_id, "note", "stays")

    attempts.finish(database, claimed, COMPLETE)

    assert row(database, claimed).attributes == {"accuracy": 0.5, "note": "stays"}


def test_an_epoch_that_is_reported_again_stays_as_it_was(database: Database, claimed: Claim) -> None:
    attempts.report(database, claimed, 1, 0.25)

    attempts.report(database, claimed, 1, 0.75)

    assert row(database, claimed).values == {1: 0.25}


def test_epochs_before_a_checkpoint_are_written_with_it_since_none_trains_them_again(
    database: Database, claimed: Claim
) -> None:
    attempts.checkpoint(database, claimed, "epoch-2.pt", [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}])

    assert read_epochs(database, [claimed.trial_id]) == {
        claimed.trial_id: [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]
    }


def test_every_number_is_kept_exactly(database: Database, claimed: Claim) -> None:
    given = (math.inf, -math.inf, 1e-300, 1e300, 0.1, np.float64(0.3), np.float32(0.1), 3)
    for epoch, value in enumerate(given):
        attempts.report(database, claimed, epoch, value)  # type: ignore[arg-type]

    attempts.finish(database, claimed, Ending(TrialState.COMPLETE, values=(np.float32(0.1),)))  # type: ignore[arg-type]

    trial = row(database, claimed)
    assert tuple(trial.values.values()) == given
    assert trial.value == np.float32(0.1)


def test_an_epoch_without_a_number_is_kept_as_such(database: Database, claimed: Claim) -> None:
    attempts.report(database, claimed, 1, math.nan)

    assert math.isnan(row(database, claimed).values[1])


WRITES = {
    "report": lambda database, claim: attempts.report(database, claim, 7, 0.75),
    "finish": lambda database, claim: attempts.finish(database, claim, COMPLETE),
    "hand back": lambda database, claim: attempts.hand_back(database, claim),
}


@pytest.mark.parametrize("end", ["taken over", "handed back", "finished"])
def test_every_write_with_a_stale_token_is_refused_and_changes_nothing(url: str, database: Database, end: str) -> None:
    jobs.create(url)
    study_id = studies.load_study(database, "study").study_id
    stale = took(database, study_id, lease_s=-1.0 if end == "taken over" else 60.0)
    if end == "taken over":
        took(database, study_id)
    elif end == "handed back":
        attempts.hand_back(database, stale)
    else:
        attempts.finish(database, stale, Ending(TrialState.PRUNED, values=(0.125,)))
    before = _without_time(row(database, stale))

    repeated = {"handed back": "hand back", "finished": "finish"}.get(end)
    for name, write in WRITES.items():
        if name == repeated:  # as after an unanswered COMMIT: it has been done
            write(database, stale)
            continue
        with pytest.raises(LeaseLost, match="trial 0, attempt 1"):
            write(database, stale)

    assert _without_time(row(database, stale)) == before


def _without_time(trial: TrialRow) -> dict[str, object]:
    return {key: value for key, value in vars(trial).items() if key != "seconds"}


@pytest.mark.parametrize("write", ["report", "finish"])
def test_the_end_that_another_program_wrote_stays(
    url: str, database: Database, claimed: Claim, stock: Callable[[str], RDBStorage], write: str
) -> None:
    optuna.load_study(study_name="study", storage=stock(url)).tell(claimed.number, 0.25)

    with pytest.raises(LeaseLost, match="another Optuna program ended the trial"):
        WRITES[write](database, claimed)

    trial = row(database, claimed)
    assert (trial.state, trial.value, trial.values, trial.attributes) == (TrialState.COMPLETE, 0.25, {}, {})
    assert (trial.attempt_state, trial.weights) == (AttemptState.FINISHED, None)


def test_a_message_is_stored_whatever_it_contains(database: Database, claimed: Claim) -> None:
    message = "x" * 200_000 + "\nμ → e γ 🙂 \0 \udcff: no room"

    attempts.finish(database, claimed, Ending(TrialState.FAIL, failure="error", message=message))

    stored = row(database, claimed).message
    assert stored is not None
    assert stored.endswith("\nμ → e γ 🙂 \ufffd ?: no room")
    assert len(stored) == endings.LONGEST_MESSAGE


def test_an_attribute_of_the_accepted_length_is_stored(database: Database, claimed: Claim) -> None:
    text = "é" * ((endings.LONGEST_ATTRIBUTE - 2) // len(json.dumps("é")[1:-1]))

    attempts.finish(database, claimed, Ending(TrialState.FAIL, attributes={"reason": text}))

    assert row(database, claimed).attributes == {"reason": text}


@pytest.mark.parametrize(
    ("ending", "complaint"),
    [
        ({"state": TrialState.COMPLETE, "values": (math.nan,)}, "NaN"),
        ({"state": TrialState.PRUNED, "values": (math.nan,)}, "NaN"),
        ({"state": TrialState.COMPLETE}, "COMPLETE"),
        ({"state": TrialState.FAIL, "values": (0.5,)}, "FAIL"),
        ({"state": TrialState.RUNNING}, "RUNNING"),
        ({"state": TrialState.FAIL, "attributes": {"reason": "x" * 70_000}}, "'reason' has 70002 bytes"),
    ],
)
def test_an_end_that_stock_optuna_could_not_read_is_refused(ending: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Ending(**ending)  # type: ignore[arg-type]


def test_of_trials_that_are_given_the_same_parameters_at_once_only_one_gets_them(
    url: str, database: Database, claimed: Claim, processes: ProcessPoolExecutor
) -> None:
    claims, start = [claimed, *(took(database, claimed.study_id) for _ in range(3))], jobs.moment()

    given = [processes.submit(jobs.sample_once, url, claim, start) for claim in claims]

    assert sorted(done.result() for done in given) == [False, False, False, True]
    assert [len(trial.parameters) for trial in read_trials(database, claimed.study_id)].count(2) == 1


def test_parameters_of_which_another_trial_has_only_some_are_not_the_same(database: Database, claimed: Claim) -> None:
    attempts.sample(database, took(database, claimed.study_id), jobs.SAME)

    assert attempts.sample(database, claimed, {"x": jobs.SAME["x"]}, once=True)


def test_parameters_of_a_failed_trial_may_be_given_again(database: Database, claimed: Claim) -> None:
    failed = took(database, claimed.study_id)
    attempts.sample(database, failed, jobs.SAME)
    attempts.finish(database, failed, Ending(TrialState.FAIL, failure="error", message="no"))

    assert attempts.sample(database, claimed, jobs.SAME, once=True)
