import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable

import psutil
import pytest
from lab import ODD, Lab, finished, until
from optuna.trial import TrialState

from storage.agents import list_workers
from storage.claims import Refusal
from storage.database import Database

SLOW = ODD | {"odd.pause": 0.05}
PLAN = {"space": SLOW, "training": {"epochs": 4}, "search": {"pruner": "none"}}


def meanwhile(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def begun(lab: Lab, trials: int = 1) -> bool:
    """Wait until so many trials have reported an epoch."""
    return until(lambda: sum(bool(trial.values) for trial in lab.trials()) >= trials)


def worker_of(lab: Lab, number: int) -> psutil.Process:
    """The process that trains a trial."""
    trial = lab.trials()[number]
    return psutil.Process(next(row.pid for row in rows(lab) if row.slot == trial.slot))


def rows(lab: Lab) -> list:
    database = Database(lab.url)
    try:
        return list_workers(database, lab.record().study_id)
    finally:
        database.close()


def test_a_killed_worker_fails_its_trial_and_is_replaced_without_loading_the_events_again(lab: Lab) -> None:
    lab.create(budget={"trials": 5}, **PLAN)
    seen: list[psutil.Process] = []

    def kill() -> None:
        assert begun(lab, 2)
        (lab.folder / "events.h5").unlink()
        victim = worker_of(lab, 0)
        seen.append(victim.parent())
        victim.kill()
        assert until(lambda: any(trial.number > 1 and trial.slot == lab.trials()[0].slot for trial in lab.trials()))
        assert until(lambda: victim.pid not in {row.pid for row in rows(lab)})
        seen.extend(psutil.Process(row.pid).parent() for row in rows(lab))

    killer = meanwhile(kill)
    ended = lab.work(workers=2)
    killer.join()

    trials = lab.trials()
    assert ended is Refusal.DONE
    assert [trial.state for trial in trials] == [TrialState.FAIL] + [TrialState.COMPLETE] * 4
    assert (trials[0].failure, trials[0].attempts) == ("crash", 1)
    assert "SIGKILL" in str(trials[0].message)
    assert len(seen) == 3
    assert len(set(seen)) == 1


def test_a_worker_killed_while_idle_costs_no_trial(lab: Lab) -> None:
    lab.create(budget={"trials": 1}, **PLAN)

    def kill() -> None:
        assert begun(lab)
        busy = lab.trials()[0].slot
        psutil.Process(next(row.pid for row in rows(lab) if row.slot != busy)).kill()

    killer = meanwhile(kill)
    ended = lab.work(workers=2)
    killer.join()

    assert ended is Refusal.DONE
    assert [(trial.state, trial.attempts) for trial in lab.trials()] == [(TrialState.COMPLETE, 1)]


def test_a_worker_frozen_for_less_than_the_stall_costs_nothing(lab: Lab) -> None:
    lab.create(budget={"trials": 4}, workers={"stall": 30}, **PLAN)

    def freeze() -> None:
        assert begun(lab, 2)
        victim = worker_of(lab, 0)
        victim.suspend()
        assert until(lambda: len(lab.trials()) == 4)  # the other worker goes on
        victim.resume()

    freezer = meanwhile(freeze)
    ended = lab.work(workers=2)
    freezer.join()

    assert ended is Refusal.DONE
    assert [(trial.state, trial.attempts) for trial in lab.trials()] == [(TrialState.COMPLETE, 1)] * 4


def test_an_agent_frozen_together_with_its_workers_gives_none_of_them_up(lab: Lab) -> None:
    lab.create(budget={"trials": 4}, workers={"stall": 2}, **PLAN)
    running = lab.start("worker", "q", "--workers", "2", "--devices", "cpu")
    assert begun(lab, 2)
    workers = lab.workers()
    agent = psutil.Process(running.pid)

    for process in (agent, *workers):
        process.suspend()
    time.sleep(3.0)  # seconds: longer than the stall
    agent.resume()
    time.sleep(0.5)  # seconds: the agent has looked at its workers, and none has said anything
    for worker in workers:
        worker.resume()

    code, output = finished(running)
    assert code == 0, output
    assert [(trial.state, trial.attempts) for trial in lab.trials()] == [(TrialState.COMPLETE, 1)] * 4


def test_when_the_forkserver_is_killed_the_trials_are_handed_back_and_resume(lab: Lab) -> None:
    lab.create(budget={"trials": 3}, retry={"lost": 0}, **PLAN)

    def kill() -> None:
        assert begun(lab, 2)
        worker_of(lab, 0).parent().kill()

    killer = meanwhile(kill)
    ended = lab.work(workers=2)
    killer.join()

    assert ended is Refusal.DONE
    assert [(trial.state, trial.attempts) for trial in lab.trials()] == [
        (TrialState.COMPLETE, 2),
        (TrialState.COMPLETE, 2),
        (TrialState.COMPLETE, 1),
    ]


def test_a_signal_ends_a_worker_that_never_reaches_a_batch_boundary(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.agent.HAND_BACK_S", 1.0)
    lab.create(budget={"trials": 1}, space=ODD | {"odd.mood": "loop"})
    teller = meanwhile(lambda: until(lambda: bool(lab.trials())) and os.kill(os.getpid(), signal.SIGTERM))

    ended = lab.work(workers=1)

    teller.join()
    (trial,) = lab.trials()
    assert ended is None
    assert (trial.state, trial.attempt_state) == (TrialState.RUNNING, "interrupted")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_ends_an_agent_that_still_loads_its_events(lab: Lab, number: signal.Signals) -> None:
    lab.create()

    def loading() -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):  # another child may end meanwhile
            return any("_preload" in " ".join(child.cmdline()) for child in psutil.Process().children())
        return False

    teller = meanwhile(lambda: until(loading) and os.kill(os.getpid(), number))

    ended = lab.work()

    teller.join()
    assert ended is None
    assert not lab.trials()
