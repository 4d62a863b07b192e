import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import jobs
import optuna
import pytest
from jobs import take, took
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import insert, select, update

from storage import _optuna, attempts, claims, studies
from storage.attempts import Claim
from storage.claims import Refusal
from storage.clock import utc_now
from storage.database import Database
from storage.endings import Ending
from storage.history import TrialRow, read_trials
from storage.studies import Budget
from storage.tables import ATTEMPTS, AttemptState, StudyState

COMPLETE = Ending(TrialState.COMPLETE, values=(0.5,))

Stock = Callable[[str], RDBStorage]


def study(url: str, database: Database, **budget: float | None) -> int:
    jobs.create(url, **budget)
    return studies.load_study(database, "study").study_id


def row(database: Database, study_id: int, number: int) -> TrialRow:
    return read_trials(database, study_id)[number]


def enqueue(stock: Stock, url: str, count: int) -> None:
    queued = optuna.load_study(study_name="study", storage=stock(url))
    for turn in range(count):
        queued.enqueue_trial({"x": turn})


def test_eight_processes_start_exactly_the_budget_and_never_share_an_attempt(
    url: str, database: Database, processes: ProcessPoolExecutor
) -> None:
    study_id, start = study(url, database, trials=64), jobs.moment()

    done = [processes.submit(jobs.run_trials, url, study_id, start, hand_back_every=3) for _ in range(8)]

    claimed = [claim for job in done for claim in job.result()]
    assert max(Counter((claim.number, claim.attempt) for claim in claimed).values()) == 1
    assert sorted(claim.number for claim in claimed if claim.attempt == 1) == list(range(64))
    assert studies.load_study(database, "study").started == 64
    assert Counter(trial.state for trial in read_trials(database, study_id)) == {TrialState.COMPLETE: 64}


def test_stock_trials_in_the_same_study_neither_count_nor_share_a_number(
    url: str, database: Database, processes: ProcessPoolExecutor
) -> None:
    study_id, start = study(url, database, trials=25), jobs.moment()

    ours = processes.submit(jobs.run_trials, url, study_id, start)
    theirs = processes.submit(jobs.run_stock_trials, url, "study", start, 25)

    numbers = [claim.number for claim in ours.result()] + list(theirs.result())
    assert sorted(numbers) == list(range(50))
    trials = read_trials(database, study_id)
    assert [trial.number for trial in trials] == list(range(50))
    assert sum(trial.ours for trial in trials) == studies.load_study(database, "study").started == 25


def test_stock_trials_are_never_reaped(url: str, database: Database, stock: Stock) -> None:
    study_id = study(url, database)
    trial = optuna.load_study(study_name="study", storage=stock(url)).ask()

    claims.reap(database, study_id, lost_retries=0)
    claimed = took(database, study_id)

    assert row(database, study_id, trial.number).state is TrialState.RUNNING
    assert claimed.number == trial.number + 1


def test_enqueued_trials_are_taken_before_new_ones_and_count_when_claimed(
    url: str, database: Database, stock: Stock
) -> None:
    study_id = study(url, database, trials=3)
    enqueue(stock, url, 2)
    before = studies.load_study(database, "study").started

    taken = [took(database, study_id).number for _ in range(3)]

    assert before == 0
    assert taken == [0, 1, 2]
    assert take(database, study_id) is Refusal.WAIT


def test_an_enqueued_trial_that_stock_takes_meanwhile_gives_way_to_the_next_one(
    url: str, database: Database, stock: Stock
) -> None:
    study_id, trials = study(url, database), _optuna.TRIALS
    enqueue(stock, url, 2)
    with ThreadPoolExecutor(1) as pool, database.write() as connection:
        connection.execute(update(trials).where(trials.c.number == 0).values(state=TrialState.RUNNING))
        claimed = pool.submit(took, database, study_id)
        time.sleep(0.2)
        assert not claimed.done()

        connection.commit()

        assert claimed.result().number == 1


def test_a_trial_that_stock_adds_while_a_claim_waits_has_its_own_number(url: str, database: Database) -> None:
    study_id, trials, locked = study(url, database), _optuna.TRIALS, _optuna.STUDIES
    with ThreadPoolExecutor(1) as pool, database.write() as connection:
        connection.execute(select(locked).where(locked.c.study_id == study_id).with_for_update())
        claimed = pool.submit(took, database, study_id)
        time.sleep(0.2)
        assert not claimed.done()

        connection.execute(insert(trials).values(study_id=study_id, number=0, state=TrialState.RUNNING))
        connection.commit()

        assert claimed.result().number == 1


def test_an_interrupted_trial_is_taken_first_and_goes_on_as_its_next_attempt(url: str, database: Database) -> None:
    study_id = study(url, database)
    first = took(database, study_id)
    took(database, study_id)
    attempts.hand_back(database, first)

    again = took(database, study_id)

    assert (again.trial_id, again.number, again.attempt) == (first.trial_id, first.number, 2)
    assert again.token != first.token
    assert studies.load_study(database, "study").started == 2


def test_a_trial_whose_lease_has_expired_is_taken_first_and_goes_on_as_its_next_attempt(
    url: str, database: Database
) -> None:
    study_id = study(url, database)
    first = took(database, study_id, lease_s=-1.0)

    again = took(database, study_id)

    assert (again.trial_id, again.number, again.attempt) == (first.trial_id, first.number, 2)
    assert row(database, study_id, 0).state is TrialState.RUNNING
    assert studies.load_study(database, "study").started == 1


def test_unfinished_trials_are_taken_though_the_budget_is_spent_or_the_goal_reached(
    url: str, database: Database
) -> None:
    study_id = study(url, database, trials=1)
    attempts.hand_back(database, took(database, study_id))
    studies.set_goal_reached(database, studies.load_study(database, "study"), "accuracy 0.9 reached 0.8")

    assert took(database, study_id).attempt == 2


def test_a_trial_that_was_lost_too_often_fails(url: str, database: Database) -> None:
    study_id = study(url, database, trials=1)
    for attempt in (1, 2, 3):
        assert took(database, study_id, lease_s=-1.0, retries=2).attempt == attempt

    refused = take(database, study_id, retries=2)

    trial = row(database, study_id, 0)
    assert refused is Refusal.DONE
    assert (trial.state, trial.failure, trial.attempts) == (TrialState.FAIL, "lost", 3)
    assert trial.attributes["failure"] == "lost"
    assert trial.message == "its worker was lost 3 times"


def test_trials_handed_back_are_never_lost_too_often(url: str, database: Database) -> None:
    study_id = study(url, database, trials=1)
    for _ in range(4):
        attempts.hand_back(database, took(database, study_id, retries=0))

    assert took(database, study_id, retries=0).attempt == 5


def test_a_lost_trial_that_another_program_has_ended_keeps_that_end(url: str, database: Database, stock: Stock) -> None:
    study_id = study(url, database, trials=1)
    claimed = took(database, study_id, lease_s=-1.0)
    optuna.load_study(study_name="study", storage=stock(url)).tell(claimed.number, 0.25)

    refused = take(database, study_id, retries=0)

    assert refused is Refusal.DONE
    trial = row(database, study_id, 0)
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.25)


def test_a_late_renewal_keeps_a_trial_that_nobody_has_taken_over(url: str, database: Database) -> None:
    study_id = study(url, database, trials=1)
    claimed = took(database, study_id, lease_s=-1.0)

    state, held = attempts.renew(database, study_id, [claimed.token], 60.0)

    assert (state, held) == (StudyState.RUNNING, {claimed.token})
    assert take(database, study_id) is Refusal.WAIT
    attempts.finish(database, claimed, COMPLETE)
    assert take(database, study_id) is Refusal.DONE


def test_a_renewal_names_the_leases_that_were_taken_over(url: str, database: Database) -> None:
    study_id = study(url, database)
    lost, kept = took(database, study_id, lease_s=-1.0), took(database, study_id, lease_s=60.0)
    assert kept.attempt == 2
    other = took(database, study_id)

    _, held = attempts.renew(database, study_id, [lost.token, kept.token, other.token], 60.0)

    assert held == {kept.token, other.token}


def test_a_renewal_while_a_claim_looks_for_lost_trials_is_not_overwritten(url: str, database: Database) -> None:
    study_id = study(url, database, trials=1)
    claimed = took(database, study_id, lease_s=-1.0)
    with ThreadPoolExecutor(1) as pool, database.write() as connection:
        mine = ATTEMPTS.c.token == claimed.token
        connection.execute(update(ATTEMPTS).where(mine).values(expires_at=utc_now(60.0)))
        other = pool.submit(take, database, study_id)
        time.sleep(0.2)

        connection.commit()

        assert other.result() is Refusal.WAIT
    assert attempts.renew(database, study_id, [claimed.token], 60.0)[1] == {claimed.token}


@pytest.mark.parametrize(
    ("state", "refusal"),
    [
        (StudyState.PAUSED, Refusal.PAUSED),
        (StudyState.HALTED, Refusal.HALTED),
        (StudyState.STOPPED, Refusal.STOPPED),
    ],
)
def test_a_study_that_does_not_run_hands_out_nothing(
    url: str, database: Database, state: StudyState, refusal: Refusal
) -> None:
    study_id = study(url, database)
    attempts.hand_back(database, took(database, study_id))
    studies.set_state(database, study_id, state, "because")

    assert take(database, study_id) is refusal
    assert studies.load_study(database, "study").state_reason == "because"


def test_a_study_that_is_gone_counts_as_stopped(url: str, database: Database) -> None:
    assert take(database, 4711) is Refusal.STOPPED
    assert attempts.renew(database, 4711, [], 60.0) == (StudyState.STOPPED, set())


def test_nothing_new_starts_once_the_goal_is_reached(url: str, database: Database) -> None:
    study_id = study(url, database)
    running = took(database, study_id)
    studies.set_goal_reached(database, studies.load_study(database, "study"), "accuracy 0.9 reached 0.8")

    assert take(database, study_id) is Refusal.WAIT
    attempts.finish(database, running, COMPLETE)
    assert take(database, study_id) is Refusal.DONE


def test_nothing_new_starts_once_the_device_seconds_are_used(url: str, database: Database) -> None:
    study_id = study(url, database, seconds=0.05)
    claimed = took(database, study_id)
    time.sleep(0.06)
    attempts.finish(database, claimed, COMPLETE)

    assert take(database, study_id) is Refusal.DONE


def test_nothing_new_starts_once_the_wall_time_since_the_first_claim_is_over(url: str, database: Database) -> None:
    study_id = study(url, database, trials=None, wall=0.2)
    first = took(database, study_id)
    time.sleep(0.3)

    assert take(database, study_id) is Refusal.WAIT
    attempts.finish(database, first, COMPLETE)
    assert take(database, study_id) is Refusal.DONE
    studies.change_config(database, study_id, {}, [], Budget(None, None, 60.0), goal_reached=None, changed_by="me@here")
    assert took(database, study_id).number == 1


def test_wall_time_does_not_begin_before_the_first_claim(url: str, database: Database) -> None:
    study_id = study(url, database, trials=None, wall=0.2)
    before = studies.load_study(database, "study").wall_s
    time.sleep(0.3)

    assert before is None
    assert took(database, study_id).number == 0


def test_a_goal_is_not_noted_by_a_configuration_that_has_been_changed(url: str, database: Database) -> None:
    study_id = study(url, database)
    read = studies.load_study(database, "study")
    studies.change_config(database, study_id, {"new": 1}, [], Budget(9, None), goal_reached=None, changed_by="me@here")

    studies.set_goal_reached(database, read, "by the former configuration")

    assert studies.load_study(database, "study").goal_reached is None


def test_device_seconds_of_a_lost_attempt_end_with_its_lease(url: str, database: Database) -> None:
    study_id = study(url, database)
    took(database, study_id, lease_s=0.05)
    time.sleep(0.5)
    with database.read() as connection:
        unnoticed = claims.device_seconds(connection, study_id)

    claims.reap(database, study_id, lost_retries=3)

    with database.read() as connection:
        noticed = claims.device_seconds(connection, study_id)
    assert unnoticed == pytest.approx(noticed, abs=0.001)  # SQLite counts time in days
    assert noticed == pytest.approx(0.05, abs=0.04)


def test_a_larger_budget_lets_the_study_go_on(url: str, database: Database) -> None:
    study_id = study(url, database, trials=1)
    attempts.finish(database, took(database, study_id), COMPLETE)
    assert take(database, study_id) is Refusal.DONE

    studies.change_config(database, study_id, {}, [], Budget(2, None), goal_reached=None, changed_by="me@here")

    assert took(database, study_id).number == 1


def test_threads_share_one_database(url: str, database: Database) -> None:
    study_id, taken, lock = study(url, database, trials=12), [], threading.Lock()

    def work() -> None:
        while isinstance(claimed := take(database, study_id), Claim):
            with lock:
                taken.append(claimed.number)

    with ThreadPoolExecutor(4) as pool:
        for job in [pool.submit(work) for _ in range(4)]:
            job.result()

    assert sorted(taken) == list(range(12))
    assert {trial.attempt_state for trial in read_trials(database, study_id)} == {AttemptState.RUNNING}
