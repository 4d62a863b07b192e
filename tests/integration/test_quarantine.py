"""Devices that fail under their trials; here parts of the CPU, and errors as CUDA raises them."""

import logging
from typing import Any

import pytest
from lab import ODD, Lab, until
from optuna.trial import TrialState
from pools import meanwhile, outcome, users
from sqlalchemy import select

from storage.agents import WorkerRow, list_workers
from storage.claims import Refusal
from storage.database import Database
from storage.history import TrialRow
from storage.tables import ATTEMPTS, AttemptState
from study import agent
from study._forkserver import WorkersUnusable
from study._monitor import Monitor

BOTH = "cpu:0,cpu:1"
STUDY: dict[str, Any] = {"space": ODD | {"odd.pause": 0.02}, "training": {"epochs": 2}, "search": {"pruner": "none"}}
ECC, LAUNCH = "uncorrectable ECC error encountered", "unspecified launch failure"
PATCH = """
import study._checkpoints
import study._worker

study._checkpoints.LEAST_S = study._checkpoints.COST = 0.0  # one after each epoch
attempt, forward, use = study._worker._attempt, Odd.forward, study._worker._use
here = batch = None


def on(agent, warm, job, device):
    global here, batch
    here, batch = (device, job.number), 0
    return attempt(agent, warm, job, device)


def train(self, events):
    global batch
    batch += self.training and events.device.type != "meta"  # where its memory is foretold
    if self.training and {when}:
        raise torch.AcceleratorError("CUDA error: {text}\\nCompile with `TORCH_USE_CUDA_DSA`")
    return forward(self, events)


Odd.forward, study._worker._attempt = train, on
"""
"""What a family's file does to the workers; `here` are the device and the trial's number."""
NO_START = """
import study._worker

use = study._worker._use



def start(device, threads):
    return {fault} if device == "cpu:1" and {when} else use(device, threads)


def second():
    try:
        os.close(os.open(os.path.join(os.path.dirname(__file__), "first"), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return True


study._worker._use = start
"""


def fails(lab: Lab, text: str, when: str) -> None:
    """Have trainings fail with an error of CUDA."""
    users(lab, PATCH.format(text=text, when=when))


def work(lab: Lab, workers: int = 2) -> Refusal | None:
    return lab.work(devices=BOTH, workers=workers)


def ended_well(trials: list[TrialRow]) -> bool:
    return all(trial.state is TrialState.COMPLETE for trial in trials)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """The outcomes of the same study's trials on devices that work."""
    healthy = Lab(tmp_path_factory.mktemp("healthy"))
    healthy.create(budget={"trials": 6}, **STUDY)
    work(healthy)
    return outcome(healthy.trials())


def attempts(lab: Lab) -> list[tuple[int, AttemptState, str | None, bool]]:
    """Number within the trial, state, failure, and whether it left a checkpoint, of all but first attempts' ends."""
    database = Database(lab.url)
    try:
        with database.read() as connection:
            columns = (ATTEMPTS.c.attempt, ATTEMPTS.c.state, ATTEMPTS.c.failure, ATTEMPTS.c.checkpoint)
            rows = connection.execute(select(*columns).order_by(ATTEMPTS.c.trial_id, ATTEMPTS.c.attempt)).all()
    finally:
        database.close()
    return [(row.attempt, row.state, row.failure, row.checkpoint is not None) for row in rows]


def workers(lab: Lab) -> list[WorkerRow]:
    database = Database(lab.url)
    try:
        return list_workers(database, lab.record().study_id)
    finally:
        database.close()


def quarantined(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


def test_a_device_out_of_order_is_closed_and_its_trial_resumes_elsewhere_free_and_bit_equal(
    lab: Lab, undisturbed: list[object], caplog: pytest.LogCaptureFixture
) -> None:
    fails(lab, ECC, 'here[0] == "cpu:1" and batch > 6')  # in the second epoch
    lab.create(budget={"trials": 5}, retry={"lost": 0}, **STUDY)

    ended = work(lab)

    assert ended is Refusal.DONE
    assert ended_well(lab.trials())
    assert outcome(lab.trials()) == undisturbed[:5]
    again = [trial for trial in attempts(lab) if trial[1] is AttemptState.INTERRUPTED]
    assert again == [(1, AttemptState.INTERRUPTED, "interrupted", True)]
    assert sorted(trial.attempts for trial in lab.trials()) == [1, 1, 1, 1, 2]
    assert quarantined(caplog) == [
        f"cpu:1 is quarantined: AcceleratorError: CUDA error: {ECC}; its trials go on elsewhere"
    ]


def test_all_workers_of_a_closed_device_go_and_their_slots_stay_listed(lab: Lab) -> None:
    fails(lab, ECC, 'here == ("cpu:1", 1) and batch > 2')
    lab.create(budget={"trials": 12}, workers={"per_device": 2}, **STUDY)
    seen: list[list[WorkerRow]] = []

    def look() -> None:
        assert until(lambda: any(row.quarantined for row in workers(lab)))
        seen.append(workers(lab))

    looking = meanwhile(look)
    ended = work(lab, workers=4)
    looking.join()

    assert ended is Refusal.DONE
    assert ended_well(lab.trials())
    assert len(lab.trials()) == 12
    assert [(row.slot, row.device, row.quarantined) for row in seen[0]] == [
        (0, "cpu:0", None),
        (1, "cpu:1", f"AcceleratorError: CUDA error: {ECC}"),
        (2, "cpu:0", None),
        (3, "cpu:1", f"AcceleratorError: CUDA error: {ECC}"),
    ]
    assert workers(lab) == []


def test_two_trials_in_a_row_whose_launches_fail_close_the_device_and_are_tried_once_on_another(
    lab: Lab, undisturbed: list[object], caplog: pytest.LogCaptureFixture
) -> None:
    fails(lab, LAUNCH, 'here[0] == "cpu:1" and batch > 6')
    lab.create(budget={"trials": 5}, **STUDY)
    caplog.set_level(logging.INFO)

    ended = work(lab)

    assert ended is Refusal.DONE
    assert ended_well(lab.trials())
    assert outcome(lab.trials()) == undisturbed[:5]
    assert sorted(trial.attempts for trial in lab.trials()) == [1, 1, 1, 2, 2]
    again = [trial for trial in attempts(lab) if trial[1] is AttemptState.INTERRUPTED]
    assert again == [(1, AttemptState.INTERRUPTED, "device", True)] * 2
    starts = [message for message in caplog.messages if "starts on" in message]
    assert [message.split()[4] for message in starts if "attempt 2" in message] == ["cpu:0", "cpu:0"]
    assert quarantined(caplog) == [
        "cpu:1 is quarantined: 2 trials in a row failed on it, the last by: "
        f"AcceleratorError: CUDA error: {LAUNCH}; its trials go on elsewhere"
    ]


@pytest.mark.parametrize(("lost", "times"), [(3, 2), (0, 1)])
def test_a_trial_whose_launches_fail_everywhere_fails_and_no_device_is_closed(
    lab: Lab, caplog: pytest.LogCaptureFixture, lost: int, times: int
) -> None:
    fails(lab, "an illegal memory access was encountered", "here[1] == 1 and batch > 2")
    lab.create(budget={"trials": 5}, retry={"lost": lost}, **STUDY)

    ended = work(lab)

    assert ended is Refusal.DONE
    assert [(trial.state, trial.failure) for trial in lab.trials()] == [
        (TrialState.FAIL, "device") if trial.number == 1 else (TrialState.COMPLETE, None) for trial in lab.trials()
    ]
    assert lab.trials()[1].attempts == times
    assert quarantined(caplog) == []


def test_when_every_device_fails_the_agent_says_why_of_each_and_another_one_ends_the_study(
    lab: Lab, undisturbed: list[object]
) -> None:
    broken = lab.folder / "broken"
    broken.touch()
    fails(lab, ECC, f"batch > 6 and os.path.exists({str(broken)!r})")
    lab.create(budget={"trials": 4}, retry={"lost": 0}, **STUDY)

    with pytest.raises(WorkersUnusable, match=rf"^no device is left: cpu:.: .*{ECC}; cpu:.: .*{ECC}$"):
        work(lab)

    assert [trial.attempt_state for trial in lab.trials()] == [AttemptState.INTERRUPTED] * 2
    broken.unlink()
    assert work(lab) is Refusal.DONE
    assert ended_well(lab.trials())
    assert outcome(lab.trials()) == undisturbed[:4]


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ('study._worker.Failed("device", "no CUDA", "")', "no CUDA"),
        ("os._exit(1)", "4 workers in a row ended before their first message"),
    ],
    ids=["said", "dead"],
)
def test_a_device_on_which_no_worker_starts_is_closed_while_another_works(
    lab: Lab, caplog: pytest.LogCaptureFixture, fault: str, cause: str
) -> None:
    users(lab, NO_START.format(fault=fault, when=True))
    lab.create(budget={"trials": 6}, **STUDY)

    ended = work(lab)

    assert ended is Refusal.DONE
    assert [trial.attributes["device"] for trial in lab.trials()] == ["cpu:0"] * 6
    assert quarantined(caplog) == [f"cpu:1 is quarantined: {cause}; its trials go on elsewhere"]


@pytest.mark.parametrize(
    "fault", ['study._worker.Failed("oom", "out of memory", "")', "os._exit(1)"], ids=["said", "dead"]
)
def test_a_worker_that_cannot_be_started_beside_others_is_done_without(
    lab: Lab, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    users(lab, NO_START.format(fault=fault, when="second()"))
    lab.create(budget={"trials": 12}, workers={"per_device": 2}, **STUDY)

    ended = work(lab, workers=4)

    assert ended is Refusal.DONE
    assert ended_well(lab.trials())
    assert {trial.attributes["device"] for trial in lab.trials()} == {"cpu:0", "cpu:1"}
    assert len([message for message in caplog.messages if "cpu:1: no worker can be started beside 1" in message]) == 1
    assert quarantined(caplog) == []


class Told(Monitor):
    """Says after some looks that a device is lost, as the driver does."""

    looks = 0

    def faults(self) -> dict[str, str]:
        self.looks += 1
        return {"cpu:1": "GPU is lost"} if self.looks > 10 else {}


def test_a_device_that_the_driver_has_lost_is_closed(
    lab: Lab, undisturbed: list[object], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "Monitor", Told)
    lab.create(budget={"trials": 6}, retry={"lost": 0}, **STUDY)

    ended = work(lab)

    assert ended is Refusal.DONE
    assert ended_well(lab.trials())
    assert outcome(lab.trials()) == undisturbed
    assert quarantined(caplog)[0] == "cpu:1 is quarantined: GPU is lost; its trials go on elsewhere"
