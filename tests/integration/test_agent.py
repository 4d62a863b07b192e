import contextlib
import logging
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from lab import CNN, ODD, Lab, until
from optuna.trial import TrialState
from sqlalchemy import update

from storage import attempts
from storage.attempts import Claim
from storage.claims import Refusal, claim
from storage.clock import utc_now
from storage.database import Database
from storage.endings import Ending
from storage.history import TrialRow
from storage.tables import ATTEMPTS, STUDIES, StudyState
from study._training import TrialRun, load_trial_data
from study.plan import build_plan
from study.stored import decoded
from study.weights import one_thread


def meanwhile(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def what(trial: TrialRow) -> tuple[object, ...]:
    return trial.number, trial.state, trial.parameters, trial.values, trial.value


def trained_alone(lab: Lab, name: str, trial: TrialRow) -> dict[int, float]:
    """The curve of a trial's parameters and number, trained in this process."""
    stored = decoded(lab.record(name))
    plan = build_plan(stored.config, stored.folder)
    run = TrialRun(plan, stored.facts, trial.number, trial.parameters, "cpu")
    with one_thread():
        epochs = list(run.epochs(load_trial_data(plan, stored.facts), should_stop=lambda: False))
    return {epoch.epoch: epoch.metrics[plan.metric] for epoch in epochs}


def test_a_study_is_a_function_of_its_seed_and_a_trial_of_its_parameters_and_number(lab: Lab) -> None:
    space = CNN | {"cnn.width": {"int": [4, 8]}, "model": {"choice": ["cnn", "mlp"]}}
    for name in ("a", "b"):
        lab.create(name, space=space, budget={"trials": 5})
        lab.work(name, workers=1)

    trials = lab.trials("a")
    assert [what(trial) for trial in trials] == [what(trial) for trial in lab.trials("b")]
    for trial in trials:
        alone = trained_alone(lab, "a", trial)
        assert {epoch: alone[epoch] for epoch in trial.values} == trial.values


def untouched(lab: Lab, trial: TrialRow) -> bool:
    """Whether a trial is complete at its first attempt, with the curve that it has without the others."""
    once = (trial.state, trial.attempts) == (TrialState.COMPLETE, 1)
    return once and trained_alone(lab, "q", trial) == trial.values


def test_each_failure_of_a_users_file_has_its_class_and_the_others_go_on(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    expected = {
        "error": ("FAIL", "error", "ValueError: the user's own mistake"),
        "nan": ("PRUNED", "nan", "is nan"),
        "memory": ("PRUNED", "oom", "out of memory"),
        "cuda memory": ("PRUNED", "oom", "CUDA out of memory. Tried to allocate 2.00 GiB."),
        "exit": ("FAIL", "crash", "exit status 0"),
        "quit": ("FAIL", "error", "SystemExit: enough"),
        "segfault": ("FAIL", "crash", "SIGSEGV"),
        "kill": ("FAIL", "crash", "SIGKILL; if nobody did that, the machine was out of memory"),
        "loop": ("FAIL", "timeout", "budget.trial_timeout, 4 s"),
        "eof": ("FAIL", "error", "EOFError: the user's own file ended"),
        "cuda": ("FAIL", "error", "CUDA error"),
        "unprintable": ("FAIL", "error", "half \\ud800 a pair, and \\x00"),
    }
    space = ODD | {"odd.mood": {"choice": [*expected, "calm"]}}
    budget = {"trials": 2 * len(expected) + 1, "trial_timeout": 4}
    queue = [{"odd.mood": mood} for odd in expected for mood in (odd, "calm")]
    queue.insert(2 * len(expected), {"odd.mood": "calm", "lr": "enqueued by mistake"})
    expected["no number"] = ("FAIL", "error", "float")
    lab.create(queue=queue, space=space, budget=budget, search={"pruner": "none"})

    with caplog.at_level(logging.INFO, "study"):
        ended = lab.work(workers=2)

    trials, calm = lab.trials()[::2], lab.trials()[1::2]
    assert ended is Refusal.DONE
    assert [(trial.state.name, trial.failure) for trial in trials] == [kind[:2] for kind in expected.values()]
    assert all(untouched(lab, trial) for trial in calm)
    for trial, (_, _, reason) in zip(trials, expected.values(), strict=True):
        assert reason in trial.attributes.get("reason", "")
        lines = [line for line in caplog.messages if line.startswith(f"trial {trial.number} {trial.state.name}")]
        assert len(lines) == 1
        assert reason in lines[0]
        assert "\n" not in lines[0]
    assert "odd_family.py" in str(trials[0].message)
    assert "and its second line" in str(trials[0].message)


def test_a_worker_that_freezes_or_hangs_is_replaced_and_its_trial_fails_as_timeout(lab: Lab) -> None:
    moods = ["freeze", "calm", "loop", "calm", "calm"]
    space = ODD | {"odd.mood": {"choice": ["calm", "freeze", "loop"]}}
    queue = [{"odd.mood": mood} for mood in moods]
    lab.create(queue=queue, space=space, budget={"trials": 5}, workers={"stall": 2}, search={"pruner": "none"})

    ended = lab.work(workers=2)

    trials = lab.trials()
    assert ended is Refusal.DONE
    for trial in (trials[0], trials[2]):
        assert (trial.state, trial.failure, trial.attempts) == (TrialState.FAIL, "timeout", 1)
        assert "no batch was finished for 2 s (workers.stall)" in trial.attributes["reason"]
    assert all(untouched(lab, trials[number]) for number in (1, 3, 4))


def test_a_trial_that_fails_is_tried_again_as_often_as_the_study_allows(lab: Lab) -> None:
    queue = [{"odd.mood": "error"}, {"odd.mood": "memory"}, {"odd.mood": "calm"}]
    space = ODD | {"odd.mood": {"choice": ["error", "memory", "calm"]}}
    lab.create(queue=queue, space=space, budget={"trials": 3}, retry={"error": 2, "oom": 1}, search={"pruner": "none"})

    ended = lab.work(workers=1)

    assert ended is Refusal.DONE
    ends = [(trial.state.name, trial.failure, trial.attempts) for trial in lab.trials()]
    assert ends == [("FAIL", "error", 3), ("PRUNED", "oom", 2), ("COMPLETE", None, 1)]


def test_after_five_equal_errors_in_a_row_the_study_is_halted(lab: Lab) -> None:
    moods = ["error"] * 4 + ["calm"] + ["error"] * 5
    space = ODD | {"odd.mood": {"choice": ["calm", "error"]}}
    queue = [{"odd.mood": mood} for mood in moods]
    lab.create(queue=queue, space=space, budget={"trials": 11}, search={"pruner": "none"})

    ended = lab.work(workers=1)

    halted = lab.record()
    assert ended is Refusal.HALTED
    assert halted.state is StudyState.HALTED
    assert halted.state_reason == "5 trials in a row failed with: ValueError: the user's own mistake"
    ends = [trial.state.name for trial in lab.trials()]
    assert ends == ["FAIL"] * 4 + ["COMPLETE"] + ["FAIL"] * 5


@contextlib.contextmanager
def full(folder: Path) -> Iterator[str]:
    """A place where no weights can be written: a full disk, or for an ordinary user no folder; how that is called."""
    folder.mkdir()
    mounted = not subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", folder], check=False).returncode
    if not mounted:
        folder.rmdir()
        folder.write_text("no folder")
    try:
        yield "No space left on device" if mounted else "Not a directory"
    finally:
        if mounted:
            subprocess.run(["umount", folder], check=True)
        else:
            folder.unlink()


def test_weights_that_cannot_be_written_fail_the_trial_with_the_reason_and_the_next_agent_goes_on(lab: Lab) -> None:
    plan = {"checkpoint": {"dir": "full"}, "search": {"pruner": "none"}}
    lab.create(budget={"trials": 2}, **plan)

    with full(lab.folder / "full") as reason:
        lab.work(workers=1)
        failed = lab.trials()
        files = [path for path in lab.folder.glob("full/q/trial-*/*") if path.is_file()]
    lab.create(budget={"trials": 3}, **plan)
    lab.work(workers=1)

    assert [(trial.state.name, trial.failure) for trial in failed] == [("FAIL", "error")] * 2
    assert len({trial.attributes["reason"] for trial in failed}) == 1
    assert failed[0].attributes["reason"].startswith("OSError: the weights could not be written: ")
    assert reason in failed[0].attributes["reason"]
    assert not files
    assert [trial.state.name for trial in lab.trials()] == ["FAIL", "FAIL", "COMPLETE"]
    assert Path(str(lab.trials()[2].weights)).is_file()


def take_over(lab: Lab) -> None:
    """Become another agent that finds the first trial's lease expired, and complete it."""
    database = Database(lab.url)
    study_id = lab.record().study_id
    with database.write() as connection:
        connection.execute(update(ATTEMPTS).values(expires_at=utc_now(-1.0)))
        connection.execute(update(STUDIES).values(trial_budget=1))
    taken = claim(database, study_id, agent_id="other", slot=0, lease_s=60.0, lost_retries=3)
    assert isinstance(taken, Claim)
    attempts.finish(database, taken, Ending(TrialState.COMPLETE, values=(0.125,)))
    with database.write() as connection:
        connection.execute(update(STUDIES).values(trial_budget=2))
    database.close()


def test_a_trial_that_another_agent_has_taken_over_is_dropped_and_the_worker_goes_on(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    space = ODD | {"odd.pause": 0.1}
    lab.create(
        space=space, budget={"trials": 2}, training={"epochs": 4}, lease={"renew": 30}, search={"pruner": "none"}
    )
    thief = meanwhile(lambda: until(lambda: any(trial.values for trial in lab.trials())) and take_over(lab))

    ended = lab.work(workers=1)

    thief.join()
    first, second = lab.trials()
    assert ended is Refusal.DONE
    assert (first.value, first.attempts) == (0.125, 2)
    assert (second.state, second.attempts) == (TrialState.COMPLETE, 1)
    assert "trial 0, attempt 1: another agent has taken it over; it is dropped here" in caplog.text


def test_an_agent_leaves_no_process_file_or_variable_behind(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    environment = dict(os.environ)
    lab.create(budget={"trials": 12})

    ended = lab.work(workers=4)

    assert ended is Refusal.DONE
    assert [(trial.number, trial.attempts) for trial in lab.trials()] == [(number, 1) for number in range(12)]
    left = [child for child in psutil.Process().children(recursive=True) if "forkserver" in " ".join(child.cmdline())]
    assert not left
    assert not list(temporary.glob("studyhall-*"))
    assert dict(os.environ) == environment
