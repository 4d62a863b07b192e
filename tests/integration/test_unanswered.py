"""A COMMIT whose answer is lost: the transaction is tried again, and must find that it took place."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import optuna
import pytest
from jobs import create, took
from optuna.trial import TrialState
from sqlalchemy import Connection

from storage import attempts, studies
from storage.database import Database, Unreachable
from storage.endings import Ending
from storage.history import read_trials
from storage.tables import AttemptState
from storage.trials import open_storage


@pytest.fixture
def lose(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """After this call, the answer to the next COMMIT is lost."""
    losing = [False]

    def robbed(transaction: Callable[..., AbstractContextManager[Connection]]) -> Callable[..., object]:
        @contextmanager
        def unanswered(self: Database, **options: bool) -> Iterator[Connection]:
            with transaction(self, **options) as connection:
                yield connection
            if losing[0]:
                losing[0] = False
                raise Unreachable("the answer to COMMIT was lost")

        return unanswered

    monkeypatch.setattr(Database, "write", robbed(Database.write))
    monkeypatch.setattr(Database, "statement", robbed(Database.statement))

    def arm() -> None:
        losing[0] = True

    return arm


@pytest.fixture
def patient(url: str) -> Iterator[Database]:
    create(url)
    database = Database(url, patience_s=10.0)
    yield database
    database.close()


def the_study(database: Database) -> int:
    return studies.list_studies(database)[0].study_id


def test_a_claim_is_one_trial_and_one_of_the_budget(patient: Database, lose: Callable[[], None]) -> None:
    study_id = the_study(patient)

    lose()
    first = took(patient, study_id)
    second = took(patient, study_id)

    assert (first.number, second.number) == (0, 1)
    assert studies.list_studies(patient)[0].started == 2


def test_a_report_is_one_value(patient: Database, lose: Callable[[], None]) -> None:
    claimed = took(patient, the_study(patient))

    lose()
    attempts.report(patient, claimed, 1, 0.5)

    assert read_trials(patient, claimed.study_id)[0].values == {1: 0.5}


def test_a_finish_is_done_once_and_no_lease_is_lost(patient: Database, lose: Callable[[], None]) -> None:
    claimed = took(patient, the_study(patient))

    lose()
    attempts.finish(patient, claimed, Ending(TrialState.COMPLETE, values=(0.5,), attributes={"loss": 1.0}))

    trial = read_trials(patient, claimed.study_id)[0]
    assert (trial.state, trial.value, trial.attempt_state) == (TrialState.COMPLETE, 0.5, AttemptState.FINISHED)


def test_a_trial_is_handed_back_once(patient: Database, lose: Callable[[], None]) -> None:
    claimed = took(patient, the_study(patient))

    lose()
    attempts.hand_back(patient, claimed)

    again = took(patient, claimed.study_id)
    assert (again.number, again.attempt) == (claimed.number, 2)


def test_an_optuna_program_gets_one_trial_and_one_study(url: str, lose: Callable[[], None]) -> None:
    storage = open_storage(url, patience_s=10.0)

    lose()
    study = optuna.create_study(storage=storage, study_name="plain")
    lose()
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    lose()
    study.tell(trial, 1.0)
    study.enqueue_trial({"x": 0.25})
    lose()
    enqueued = study.ask()

    assert enqueued.suggest_float("x", 0, 1) == 0.25
    assert [(t.number, t.state) for t in study.trials] == [(0, TrialState.COMPLETE), (1, TrialState.RUNNING)]
    assert len(storage.get_all_studies()) == 1
    storage.close()


def test_without_patience_the_error_comes_at_once(url: str, lose: Callable[[], None]) -> None:
    create(url)
    database = Database(url)

    lose()
    with pytest.raises(Unreachable, match="the answer to COMMIT was lost"):
        took(database, the_study(database))
    database.close()
