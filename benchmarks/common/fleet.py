"""A simulated agent: the database work of `study.agent.Agent`, by the same functions in the same order, no training."""

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from fleet_study import FOLDER, NAME, accuracy_at, attributes_of
from optuna.trial import TrialState

from objectives._fit_settings import EpochResult
from storage import agents
from storage.attempts import Claim, finish
from storage.claims import Refusal, claim
from storage.clock import awake
from storage.endings import Ending
from storage.trials import open_storage, quiet_optuna
from study._ledger import Ledger
from study._messages import Done, Order
from study._outcomes import ending_of
from study._rungs import rungs_of
from study.plan import build_plan
from study.stored import load_stored

SLOTS = 8
CHECKPOINT_S = 30.0
"""As the workers' `LEAST_S`: a checkpoint is due after so long, and at each rung."""
LONGEST_WAIT_S = 0.25
WARM_STEP_S = 0.25
KINDS = (
    "claim",
    "sample",
    "report",
    "report at a rung",
    "checkpoint",
    "finish, pruned",
    "finish, complete",
    "forget weights",
    "renew",
    "see agent",
    "look",
)
"""What is timed. `renew` reads the study anew; `forget weights` follows a complete trial, while the workers train, and
has with it what an agent proposes ahead that is alone on its study."""


@dataclass
class Record:
    """What one process did.

    Attributes:
        times_ms: By kind.
        errors: By text.
        warnings: Log records of the product: trials taken over, tries again.
        cpu_s: Of this process in the measured time.
    """

    times_ms: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    errors: Counter[str] = field(default_factory=Counter)
    warnings: int = 0
    cpu_s: float = 0.0

    def forget(self) -> None:
        """Begin anew, after warming up; errors stay."""
        self.times_ms = {kind: [] for kind in KINDS}

    @contextmanager
    def timed(self, kind: str) -> Iterator[None]:
        """Note how long the body takes."""
        began = time.perf_counter()
        yield
        self.times_ms[kind].append(1000 * (time.perf_counter() - began))


@dataclass
class Slot:
    """A simulated worker."""

    index: int
    due: float = 0.0
    claim: Claim | None = None
    epoch: int = 0
    saved: int = 0  # the epoch of the last checkpoint


class _Counter(logging.Handler):
    """Counts warnings and prints none."""

    def __init__(self, record: Record) -> None:
        super().__init__(logging.WARNING)
        self._record = record

    def emit(self, record: logging.LogRecord) -> None:
        self._record.warnings += 1


class SimulatedAgent:
    """One agent of `SLOTS` workers."""

    def __init__(self, url: str, *, pace_s: float, epoch_s: float, record: Record, slots: int = SLOTS) -> None:
        """Open the study as an agent does.

        Args:
            pace_s: Mean length of a simulated epoch; 0 as fast as it goes.
            epoch_s: Length of the epoch that it stands for: so many of them pass between two renewals.
            record: Where what it does is noted.
            slots: Workers.
        """
        quiet_optuna()
        logging.getLogger().handlers = [_Counter(record)]
        self.storage = open_storage(url)
        self.database = self.storage.database
        self.stored = load_stored(self.database, NAME)
        self.database.patience_s = self.stored.config.lease.patience
        self.database.limit_idle(self.stored.config.lease.seconds)
        self.plan = build_plan(self.stored.config, self.stored.folder)
        self.ledger = Ledger(self.storage, self.stored, self.plan)
        self.record = record
        self._rungs, self._epochs = rungs_of(self.plan), self.plan.config.training.epochs
        self._pace_s, self._chance = pace_s, random.Random()
        lease = self.stored.config.lease
        self._reports_per_renewal = max(1.0, slots * lease.renew / epoch_s)
        self._epochs_per_checkpoint = CHECKPOINT_S / epoch_s
        # Agents that start at different moments do not renew together.
        self._reports, self._renewed_at = self._reports_per_renewal * self._chance.random(), awake()
        self.slots, self._fresh, self._begun = [Slot(index) for index in range(slots)], True, set[int]()
        self._completed = False
        self.agent_id = agents.register_agent(self.database, self.stored.study_id, alive_s=lease.seconds)

    def run(self, until: float) -> None:
        """Serve the simulated workers up to a moment of `time.monotonic`; the first ones begin spread over an epoch."""
        for slot in self.slots if self._fresh else []:
            slot.due = time.monotonic() + self._chance.random() * self._pace_s
        self._fresh = False
        while time.monotonic() < until:
            self._attempted(self._renew_if_due)
            for slot in self.slots:
                if slot.claim is None and slot.due <= time.monotonic() < until:
                    self._attempted(self._claim, slot)
            self._attempted(self._meanwhile)
            self._listen(until)

    def warm_up(self, least_s: float, until: float) -> None:
        """Run until every worker has had a trial, and so long at least."""
        least = time.monotonic() + least_s
        while time.monotonic() < min(least, until) or (len(self._begun) < len(self.slots) and time.monotonic() < until):
            self.run(min(until, time.monotonic() + WARM_STEP_S))

    def drop_all(self) -> None:
        """End the trials in hand as failed, so that nobody takes them up."""
        for slot in self.slots:
            if slot.claim is not None:
                finish(self.database, slot.claim, Ending(TrialState.FAIL))
                slot.claim = None

    def leave(self) -> None:
        """End; trials in hand are left, as the study is dropped."""
        agents.leave(self.database, self.agent_id)
        self.storage.close()

    def _attempted(self, step: Callable[..., None], slot: Slot | None = None) -> None:
        """A step; its error is counted, and its trial dropped."""
        try:
            step() if slot is None else step(slot)
        except Exception as error:
            text = str(error).splitlines()[0][:100] if str(error) else ""
            self.record.errors[f"{type(error).__name__}: {text}"] += 1
            if slot is not None:
                slot.claim = None

    def _renew_if_due(self) -> None:
        lease = self.stored.config.lease
        if self._reports < self._reports_per_renewal and awake() - self._renewed_at < lease.renew:
            return
        self._reports = max(0.0, self._reports - self._reports_per_renewal)
        with self.record.timed("renew"):
            _, held = self.ledger.renew([slot.claim for slot in self.slots if slot.claim is not None], away=None)
        self._renewed_at = awake()
        with self.record.timed("see agent"):
            rows = [(slot.index, 1000 + slot.index, f"cuda:{slot.index}") for slot in self.slots]
            agents.see_agent(self.database, self.agent_id, rows)
        for slot in self.slots:
            if slot.claim is not None and slot.claim.token not in held:
                slot.claim = None

    def _claim(self, slot: Slot) -> None:
        config = self.stored.config
        with self.record.timed("claim"):
            claimed = claim(
                self.database,
                self.stored.study_id,
                agent_id=self.agent_id,
                slot=slot.index,
                lease_s=config.lease.seconds,
                lost_retries=config.retry.lost,
                reap_until=self._renewed_at + config.lease.seconds,
            )
        if isinstance(claimed, Refusal):
            raise LookupError(claimed)
        with self.record.timed("sample"):
            job = self.ledger.begin(claimed, f"cuda:{slot.index}")
        if job is None:
            raise LookupError("the trial could not be sampled")
        slot.claim, slot.epoch, slot.saved = claimed, 0, 0
        self._begun.add(slot.index)
        slot.due = self._next_due()

    def _meanwhile(self) -> None:
        """What no worker waits for; noted where a complete trial gives it something to forget."""
        if not self._completed:
            self.ledger.meanwhile()
            return
        self._completed = False
        with self.record.timed("forget weights"):
            self.ledger.meanwhile()

    def _next_due(self) -> float:
        return time.monotonic() + self._pace_s * self._chance.uniform(0.5, 1.5)

    def _listen(self, until: float) -> None:
        """Deal with the epochs that have ended; wait where none has."""
        now = time.monotonic()
        ready = [slot for slot in self.slots if slot.claim is not None and slot.due <= now]
        for slot in ready:
            if time.monotonic() < until:
                self._attempted(self._epoch, slot)
        if not ready:
            wait = min(min(slot.due for slot in self.slots), until) - now
            time.sleep(min(max(wait, 0.0), LONGEST_WAIT_S))

    def _epoch(self, slot: Slot) -> None:
        """One message of a worker: an epoch, and what follows from the answer."""
        assert slot.claim is not None
        slot.epoch += 1
        self._reports += 1
        value = accuracy_at(slot.claim.number, slot.epoch)
        result = EpochResult(slot.epoch, 0.1, 0.1, {self.plan.metric: value}, 0.001, 10.0, 4321.0)
        at_rung = slot.epoch in self._rungs
        with self.record.timed("report at a rung" if at_rung else "report"):
            order = self.ledger.epoch(slot.claim, result)
        if order is Order.HAND_BACK:
            raise LookupError("the trial was taken over")
        if order is Order.PRUNE or slot.epoch == self._epochs:
            self._end(slot, slot.claim, value, pruned=order is Order.PRUNE)
            return
        if at_rung or slot.epoch - slot.saved >= self._epochs_per_checkpoint:
            with self.record.timed("checkpoint"):
                self.ledger.checkpoint(slot.claim, f"{FOLDER}/epoch-{slot.epoch}.pt")
            slot.saved = slot.epoch
        slot.due = self._next_due()

    def _end(self, slot: Slot, ended: Claim, value: float, *, pruned: bool) -> None:
        done = Done((value,), pruned, attributes_of(value, slot.epoch, ended.number))
        ending = ending_of(done, f"cuda:{slot.index}", weights=self.ledger.weights(ended))
        with self.record.timed("finish, pruned" if pruned else "finish, complete"):
            self.ledger.end(ended, ending)
        self._completed = self._completed or not pruned
        slot.claim = None
        slot.due = 0.0
