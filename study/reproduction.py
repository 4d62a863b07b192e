"""One trial trained again by a worker, compared with its record bit for bit, and why it may differ."""

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from objectives._fit_settings import EpochResult
from storage.database import Database
from storage.errors import ConfigError, DataError, StudyhallError, StudyMissing
from storage.files import exists, join
from storage.history import TrialRow, read_trials
from storage.trial_details import find_trials
from study._child import Worker
from study._environment import NAMES, THREADS
from study._forkserver import ForkserverLost, WorkersUnusable
from study._messages import WEIGHTS, Done, Failed, Order, Ready, TrialJob
from study._pool import Pool
from study._retraining import Difference, Retrained, differences, epochs_of
from study._training import WEIGHTS_DIGEST
from study.curves import read_history
from study.devices import device_slots, threads_per_worker, torch_name
from study.plan import Plan, build_plan
from study.stored import StoredStudy, load_stored

POLL_S = 1.0
"""Longest wait for the worker."""


class NotTrained(StudyhallError):
    """The worker could not train the trial."""


@dataclass(frozen=True)
class Condition:
    """One thing that a training's last bits depend on.

    Attributes:
        recorded: None where it is not on record.
        now: None where the training gave no sign of it.
    """

    name: str
    recorded: str | None
    now: str | None

    @property
    def differs(self) -> bool:
        """Whether both are known and are not the same."""
        return self.recorded is not None and self.now is not None and self.recorded != self.now


@dataclass(frozen=True)
class Reproduction:
    """What came of training a trial again.

    Attributes:
        attempts: That the trial took; only the last one's environment is on record.
        deterministic: Whether the study promises the same bits at all.
        compared: What was, in words.
        missing: What could not be, in words.
        environment: On record and now.
    """

    study: str
    number: int
    state: str
    attempts: int
    epochs: int
    deterministic: bool
    compared: Sequence[str]
    missing: Sequence[str]
    differences: Sequence[Difference]
    environment: Sequence[Condition]

    @property
    def equal(self) -> bool:
        """Whether everything that could be compared is the same."""
        return not self.differences

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        conditions = [asdict(condition) | {"differs": condition.differs} for condition in self.environment]
        return asdict(self) | {"equal": self.equal, "environment": conditions}


def reproduce(
    database: Database,
    name: str,
    number: int,
    *,
    device: str | None = None,
    tell: Callable[[int], None] = lambda epoch: None,
) -> Reproduction:
    """Train an ended trial again, as far as it came, in a process as those of a search; the database stays as it is.

    Args:
        device: Such as ``cpu`` or ``cuda:0``; None takes the recorded one.
        tell: Called with each epoch that has been trained.

    Raises:
        StudyMissing: No such study or trial.
        ConfigError: The trial has not ended or has no epochs, this machine lacks the device, or the user's own code
            has changed.
        DataError: The data cannot be read, or are not those of the study.
        NotTrained: The worker could not train it.
    """
    stored = load_stored(database, name)
    plan = build_plan(stored.config, stored.folder)
    row = _ended_trial(database, stored, number)
    recorded = str(row.attributes.get("device", "cpu"))
    (slot,) = _slot(device or recorded, recorded)
    again, attributes = _by_worker(stored, plan, row, slot, tell)
    history = read_history(database, row.trial_id)
    compared, missing = _extent(row, len(history), again)
    return Reproduction(
        study=name,
        number=number,
        state=row.state.name + (f" ({row.failure})" if row.failure else ""),
        attempts=row.attempts,
        epochs=len(again.epochs),
        deterministic=plan.config.training.deterministic,
        compared=compared,
        missing=missing,
        differences=list(differences(plan, row, history, again)),
        environment=_conditions(plan, row, recorded, slot, attributes),
    )


def _ended_trial(database: Database, stored: StoredStudy, number: int) -> TrialRow:
    ids = find_trials(database, stored.study_id, [number])
    if not ids:
        raise StudyMissing(f"study {stored.name!r} has no trial {number}")
    (row,) = read_trials(database, stored.study_id, list(ids.values()))
    if not row.state.is_finished():
        raise ConfigError(f"trial {number} of study {stored.name!r} is {row.state.name}; it must have ended")
    if not row.ours:
        raise ConfigError(f"trial {number} of study {stored.name!r} was put there by another Optuna program")
    if not row.values:
        raise ConfigError(f"trial {number} of study {stored.name!r} has no epoch on record: nothing to compare with")
    return row


def _slot(device: str, recorded: str) -> list[str]:
    try:
        return device_slots(device, 1, 1)
    except ConfigError as error:
        raise ConfigError(f"{error}; the trial was trained on {recorded}; --device names another one") from None


def _by_worker(
    stored: StoredStudy, plan: Plan, row: TrialRow, slot: str, tell: Callable[[int], None]
) -> tuple[Retrained, dict[str, Any]]:
    """The training, and the attributes that its worker gives the trial; empty where it failed."""
    job = {"config": stored.config.to_json(), "facts": stored.facts.to_json(), "folder": str(stored.folder)}
    threads = int(row.attributes.get(THREADS) or threads_per_worker(1))
    with tempfile.TemporaryDirectory(prefix="studyhall-") as folder, Pool([slot], job, threads) as pool:
        training = TrialJob(number=row.number, sampled=row.parameters, folder=folder, resume=None, admit=False)
        try:
            pool.start(lambda: False)
            epochs, end = _listen(pool, training, epochs_of(row), tell)
        except (WorkersUnusable, ForkserverLost) as error:
            raise DataError(str(error) or "the process that holds the events was killed") from None
        if isinstance(end, Failed):
            if not epochs:
                raise NotTrained(f"trial {row.number} could not be trained again: {end.reason}")
            return Retrained(epochs, math.nan, None, None), {}
        place = join(folder, WEIGHTS)
        weights = Path(place).read_bytes() if exists(place) else None
        return Retrained(epochs, end.values[0], end.attributes[WEIGHTS_DIGEST], weights), dict(end.attributes)


def _listen(
    pool: Pool, job: TrialJob, limit: int | None, tell: Callable[[int], None]
) -> tuple[list[EpochResult], Done | Failed]:
    """What an agent does, for one trial: its epochs, and its end."""
    epochs: list[EpochResult] = []
    while True:
        for worker in pool.wait(POLL_S):
            if not isinstance(worker, Worker):
                continue
            message = worker.receive()
            if isinstance(message, Ready):
                pool.greet(worker, message)
                worker.send(job)
            elif isinstance(message, EpochResult):
                epochs.append(message)
                tell(message.epoch)
                worker.send(Order.PRUNE if message.epoch == limit else Order.CONTINUE)
            elif isinstance(message, Done | Failed):
                return epochs, message
            elif message is None and pool.died(worker):
                raise NotTrained(f"the worker ended (exit status {worker.process.exitcode}) while it trained the trial")


def _extent(row: TrialRow, history: int, again: Retrained) -> tuple[list[str], list[str]]:
    """What was compared, and what could not be."""
    parts = {
        "the reported values": bool(row.values),
        "losses and metrics of the epochs": history > 0,
        "the value": row.value is not None,
        "the weights' digest": WEIGHTS_DIGEST in row.attributes and again.digest is not None,
        "the kept weights": row.weights is not None and again.digest is not None,
    }
    return [part for part, done in parts.items() if done], [part for part, done in parts.items() if not done]


def _conditions(plan: Plan, row: TrialRow, recorded: str, slot: str, attributes: dict[str, Any]) -> list[Condition]:
    found = [Condition("device", _kind(recorded), _kind(slot))]
    found.append(Condition("precision", _precision(plan, recorded), _precision(plan, slot)))
    for name in NAMES:
        before, now = row.attributes.get(name), attributes.get(name)
        found.append(Condition(name, None if before is None else str(before), None if now is None else str(now)))
    return found


def _kind(device: str) -> str:
    return torch_name(device).partition(":")[0]


def _precision(plan: Plan, device: str) -> str:
    chosen = plan.config.training.precision
    if chosen != "auto":
        return chosen
    return "bf16" if _kind(device) == "cuda" else "fp32"
