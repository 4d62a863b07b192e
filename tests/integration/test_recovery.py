"""Who notices what has expired, and when nobody may: after an outage that all agents shared."""

import threading
import time
from collections.abc import Callable

from jobs import create, take, took
from lab import ODD, Lab, until
from optuna.trial import TrialState
from sqlalchemy import update

from storage import agents, attempts, claims, studies
from storage.claims import Refusal
from storage.clock import awake, utc_now
from storage.database import Database
from storage.history import read_trials
from storage.tables import AGENTS, AttemptState, StudyState
from study import control
from study.agent import Agent

SLOW = ODD | {"odd.pause": 0.05}


def the_study(url: str, database: Database) -> int:
    create(url)
    return studies.load_study(database, "study").study_id


def meanwhile(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_an_agent_that_waited_for_the_database_past_its_lease_reaps_nothing(url: str, database: Database) -> None:
    study_id = the_study(url, database)
    lost = took(database, study_id, lease_s=-1.0)

    claimed = claims.claim(
        database, study_id, agent_id="late", slot=0, lease_s=60.0, lost_retries=3, reap_until=awake() - 1.0
    )

    assert isinstance(claimed, attempts.Claim)
    assert claimed.number == 1
    assert attempts.renew(database, study_id, [lost.token], 60.0)[1] == {lost.token}


def test_after_an_outage_of_all_agents_nobody_reaps_for_one_lease(url: str, database: Database) -> None:
    study_id = the_study(url, database)
    took(database, study_id, lease_s=-1.0)
    me = agents.register_agent(database, study_id, alive_s=60.0)

    attempts.renew(database, study_id, [], 0.5, away=me)
    claims.reap(database, study_id, lost_retries=3)
    during = read_trials(database, study_id)[0].attempt_state
    time.sleep(0.6)
    claims.reap(database, study_id, lost_retries=3)

    assert during is AttemptState.RUNNING
    assert read_trials(database, study_id)[0].attempt_state is AttemptState.LOST


def test_an_agent_that_was_away_alone_keeps_nobody_from_reaping(url: str, database: Database) -> None:
    study_id = the_study(url, database)
    took(database, study_id, lease_s=-1.0)
    me, _other = (agents.register_agent(database, study_id, alive_s=60.0) for _ in range(2))

    attempts.renew(database, study_id, [], 30.0, away=me)
    claims.reap(database, study_id, lost_retries=3)

    assert read_trials(database, study_id)[0].attempt_state is AttemptState.LOST


def test_agents_that_have_long_fallen_silent_count_as_away_too(url: str, database: Database) -> None:
    study_id = the_study(url, database)
    took(database, study_id, lease_s=-1.0)
    me, other = (agents.register_agent(database, study_id, alive_s=60.0) for _ in range(2))
    with database.write() as connection:
        connection.execute(update(AGENTS).where(AGENTS.c.agent_id == other).values(seen_at=utc_now(-100.0)))

    attempts.renew(database, study_id, [], 60.0, away=me)

    assert take(database, study_id) != Refusal.WAIT  # a new trial, not the expired one
    assert read_trials(database, study_id)[0].attempt_state is AttemptState.RUNNING


def test_agents_wait_while_their_study_is_paused_and_go_on_when_it_is_resumed(lab: Lab) -> None:
    lab.create(space=SLOW, training={"epochs": 2}, budget={"trials": 6}, lease={"seconds": 2, "renew": 0.2})
    database, seen = Database(lab.url), []

    def pause_and_resume() -> None:
        assert until(lambda: any(trial.values for trial in lab.trials()))
        control.set_study_state(database, "q", StudyState.PAUSED)
        time.sleep(0.5)  # more than a renewal
        assert until(lambda: all(trial.state.is_finished() for trial in lab.trials()))
        seen.append(len(lab.trials()))
        time.sleep(0.5)
        seen.append(len(lab.trials()))
        control.set_study_state(database, "q", StudyState.RUNNING)

    boss = meanwhile(pause_and_resume)
    ended = lab.work(workers=1)
    boss.join()
    database.close()

    assert ended is Refusal.DONE
    assert seen[0] == seen[1] < 6
    assert [trial.attempts for trial in lab.trials()] == [1] * 6


def test_a_paused_study_is_stopped_under_agents_that_wait(lab: Lab) -> None:
    lab.create(budget={"trials": 4}, lease={"seconds": 2, "renew": 0.2})
    database = Database(lab.url)
    control.set_study_state(database, "q", StudyState.PAUSED)
    agent = Agent(lab.url, "q", workers=1, devices="cpu")
    stopper = meanwhile(
        lambda: (
            until(lambda: bool(agents.list_workers(database, lab.record().study_id)))
            and control.set_study_state(database, "q", StudyState.STOPPED)
        )
    )

    ended = agent.run()

    stopper.join()
    database.close()
    assert ended is Refusal.STOPPED
    assert not lab.trials()


def test_the_dashboard_notices_expired_leases(lab: Lab) -> None:
    lab.create(budget={"trials": 2})
    database = Database(lab.url)
    took(database, lab.record().study_id, lease_s=-1.0)

    process = lab.start("dashboard", "--port", "0")
    noticed = until(lambda: lab.trials()[0].attempt_state is AttemptState.LOST)
    process.kill()
    process.communicate()
    database.close()

    assert noticed
    assert lab.trials()[0].state is TrialState.RUNNING
