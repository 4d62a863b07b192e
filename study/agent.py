"""One agent per host: it alone talks to the database and the sampler, and keeps its workers busy."""

import contextlib
import logging
import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import optuna
from optuna.trial import TrialState

from objectives._fit_settings import EpochResult
from storage import agents, attempts, studies
from storage.attempts import Claim, Ending
from storage.claims import Refusal, claim
from storage.database import Database
from storage.errors import DatabaseError, LeaseLost
from storage.tables import StudyState
from storage.trials import open_storage, quiet_optuna
from study._messages import Done, Failed, HandedBack, Order, TrialJob
from study._outcomes import ending_of, log_outcome
from study._pool import Pool, Worker
from study.devices import device_slots, threads_per_worker
from study.files import keep_best_weights, weights_path
from study.plan import Plan, build_plan
from study.proposals import propose
from study.search import make_pruner
from study.stored import StoredStudy, load_stored

logger = logging.getLogger(__name__)

POLL_S = 1.0
"""Longest wait between two looks at the workers."""
REFUSED_S = 1.0
"""Wait before claiming again after a refusal."""
HAND_BACK_S = 60.0
"""How long workers may take to reach a batch boundary before they are killed."""
FINAL = (Refusal.DONE, Refusal.STOPPED, Refusal.PAUSED)
"""Refusals after which an idle agent ends; another launch goes on."""
EQUAL_ERRORS = 5
"""After so many failures in a row with the same message the study pauses: it is a mistake, not bad luck."""


class Agent:
    """Runs trials of one study on this host's devices until the study is done or it is told to end."""

    def __init__(
        self, url: str, name: str, *, workers: int | None = None, devices: str | None = None, supervisor: Any = None
    ) -> None:
        """Prepare; nothing is claimed yet.

        Args:
            url: The database.
            name: The study.
            workers: Trials at a time; None means one per device slot.
            devices: Overrides the study's ``workers.devices``.
            supervisor: A file whose end of input means that the launcher is gone and this agent must end.
        """
        quiet_optuna()
        storage = open_storage(url)
        self._database = Database(url)
        self._stored: StoredStudy = load_stored(self._database, name)
        self._plan: Plan = build_plan(self._stored.config, self._stored.folder)
        self._optuna = optuna.load_study(study_name=name, storage=storage, pruner=make_pruner(self._stored.config))
        wanted = self._stored.config.workers
        self._slots = device_slots(devices or wanted.devices, wanted.per_device, workers)
        self._supervisor = supervisor
        self._ending = False
        self._state = StudyState.RUNNING
        self._errors: list[str] = []
        self._agent_id = ""

    def run(self) -> Refusal | None:
        """Run trials; why it ended, or None when it was interrupted.

        Raises:
            WorkersUnusable: No worker can be started.
            DatabaseError: The database cannot be reached.
        """
        config = self._stored.config
        job = {"config": config.to_json(), "facts": self._stored.facts.to_json(), "folder": str(self._stored.folder)}
        previous = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with Pool(self._slots, job, threads_per_worker(len(self._slots))) as pool:
                study_id = self._stored.study_id
                self._agent_id = agents.register_agent(self._database, study_id, alive_s=config.lease.seconds)
                try:
                    return self._serve(pool)
                except BaseException:
                    self._give_up(pool)
                    raise
                finally:
                    with contextlib.suppress(DatabaseError):
                        agents.leave(self._database, self._agent_id)
        finally:
            self._database.close()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _give_up(self, pool: Pool) -> None:
        """After an error of our own: let others take up the trials at once instead of after the lease."""
        for worker in pool.workers:
            if worker.claim is not None:
                with contextlib.suppress(LeaseLost, DatabaseError):
                    attempts.hand_back(self._database, worker.claim)
                worker.claim = None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._ending:
            logger.warning("ending at once; trials in hand resume when their lease ends")
            os._exit(130)
        self._ending = True

    def _serve(self, pool: Pool) -> Refusal | None:
        renewed, claim_at = 0.0, 0.0
        while not self._ending:
            now = time.monotonic()
            if now - renewed >= self._stored.config.lease.renew or renewed == 0.0:
                self._renew(pool)
                renewed = now
            if now >= claim_at:
                refusal = self._claim_all(pool)
                claim_at = now + REFUSED_S if refusal else 0.0
                if refusal in FINAL and not _busy(pool):
                    return refusal
            self._listen(pool, POLL_S if _busy(pool) else REFUSED_S)
            self._watch(pool)
            if self._state is StudyState.STOPPED:
                break
        self._hand_back_all(pool)
        return Refusal.STOPPED if self._state is StudyState.STOPPED and not self._ending else None

    def _claim_all(self, pool: Pool) -> Refusal | None:
        for worker in pool.workers:
            if worker.claim is None and not self._ending:
                claimed = claim(
                    self._database,
                    self._stored.study_id,
                    agent_id=self._agent_id,
                    slot=worker.slot,
                    lease_s=self._stored.config.lease.seconds,
                    lost_retries=self._stored.config.retry.lost,
                )
                if isinstance(claimed, Refusal):
                    return claimed
                self._start(worker, claimed)
        return None

    def _start(self, worker: Worker, claimed: Claim) -> None:
        sampled = propose(self._optuna, self._plan, claimed)
        path = weights_path(self._stored, claimed)
        timeout = self._stored.config.budget.trial_timeout
        worker.claim, worker.epoch, worker.handing_back = claimed, 0, False
        worker.deadline = time.monotonic() + timeout if timeout else None
        worker.connection.send(TrialJob(claimed.number, sampled, str(path)))
        logger.info("trial %d starts on %s (attempt %d)", claimed.number, worker.device, claimed.attempt)

    def _listen(self, pool: Pool, timeout_s: float) -> None:
        also = [self._supervisor] if self._supervisor is not None else []
        for ready in pool.wait(timeout_s, also):
            if not isinstance(ready, Worker):
                self._ending = self._ending or not os.read(self._supervisor.fileno(), 1)
                continue
            try:
                message = ready.connection.recv() if ready.connection.poll() else None
            except (EOFError, ConnectionResetError):
                message = None
            if message is None and not ready.process.is_alive():
                self._died(pool, ready)
            elif message is not None:
                self._said(ready, message)

    def _said(self, worker: Worker, message: object) -> None:
        claimed = worker.claim
        if claimed is None:
            return
        try:
            if isinstance(message, EpochResult):
                self._epoch(worker, claimed, message)
                return
            worker.claim = None
            if isinstance(message, HandedBack):
                attempts.hand_back(self._database, claimed)
                logger.info("trial %d handed back", claimed.number)
            elif isinstance(message, Done | Failed):
                self._finish(worker, claimed, message)
        except LeaseLost as lost:
            logger.warning("%s; its result is dropped", lost)
            if isinstance(message, EpochResult):
                worker.handing_back = True
                worker.connection.send(Order.HAND_BACK)

    def _epoch(self, worker: Worker, claimed: Claim, epoch: EpochResult) -> None:
        worker.epoch = epoch.epoch
        if worker.handing_back:
            worker.connection.send(Order.HAND_BACK)
            return
        value = epoch.metrics[self._plan.metric]
        attempts.report(self._database, claimed, epoch.epoch, value, self._stored.config.lease.seconds)
        last = epoch.epoch >= self._plan.config.training.epochs
        prune = not last and self._should_prune(claimed)
        worker.connection.send(Order.PRUNE if prune else Order.CONTINUE)

    def _should_prune(self, claimed: Claim) -> bool:
        frozen = self._optuna._storage.get_trial(claimed.trial_id)
        return self._optuna.pruner.prune(self._optuna, frozen)

    def _finish(self, worker: Worker, claimed: Claim, message: Done | Failed) -> None:
        ending = ending_of(message, worker.device, weights=weights_path(self._stored, claimed))
        self._end(claimed, ending)

    def _end(self, claimed: Claim, ending: Ending) -> None:
        attempts.finish(self._database, claimed, ending)
        log_outcome(claimed, ending, self._plan.metric)
        if ending.state is TrialState.COMPLETE:
            keep_best_weights(self._database, self._stored, self._plan)
        self._note_goal(ending)
        self._note_error(ending)

    def _note_goal(self, ending: Ending) -> None:
        for metric, target in (self._stored.config.budget.until or {}).items():
            value = (ending.attributes or {}).get(metric)
            better = self._plan.kind.metrics[metric] == "maximize"
            if ending.state is TrialState.COMPLETE and value is not None and (value >= target) == better:
                with self._database.write() as connection:
                    reason = f"{metric} {value:.4g} reached {target:g}"
                    studies.set_goal_reached(connection, self._stored.study_id, reason)

    def _note_error(self, ending: Ending) -> None:
        if ending.failure not in ("error", "crash", "data"):
            self._errors = []
            return
        last = (ending.message or "").strip().splitlines()[-1:]
        self._errors = [*self._errors, *last] if self._errors[-1:] == last else last
        if len(self._errors) >= EQUAL_ERRORS:
            reason = f"{EQUAL_ERRORS} trials in a row failed with: {last[0]}"
            logger.error("the study pauses: %s", reason)
            with self._database.write() as connection:
                studies.set_state(connection, self._stored.study_id, StudyState.PAUSED, reason)

    def _died(self, pool: Pool, worker: Worker) -> None:
        claimed, code = worker.claim, worker.process.exitcode
        pool.replace(worker)
        if claimed is not None:
            name = signal.Signals(-code).name if code and code < 0 else f"exit code {code}"
            self._lose(claimed, Ending(TrialState.FAIL, failure="crash", message=f"the worker ended with {name}"))

    def _watch(self, pool: Pool) -> None:
        now = time.monotonic()
        for worker in list(pool.workers):
            if worker.claim is not None and worker.deadline is not None and now > worker.deadline:
                claimed, limit = worker.claim, self._stored.config.budget.trial_timeout
                pool.replace(worker)
                message = f"not done within budget.trial_timeout = {limit:g} s"
                self._lose(claimed, Ending(TrialState.FAIL, failure="timeout", message=message))

    def _lose(self, claimed: Claim, ending: Ending) -> None:
        try:
            self._end(claimed, ending)
        except LeaseLost as lost:
            logger.warning("%s", lost)

    def _renew(self, pool: Pool) -> None:
        tokens = [worker.claim.token for worker in pool.workers if worker.claim]
        self._state, held = attempts.renew(
            self._database, self._stored.study_id, tokens, self._stored.config.lease.seconds
        )
        agents.see_agent(self._database, self._agent_id, [(w.slot, w.pid, w.device) for w in pool.workers])
        for worker in pool.workers:
            if worker.claim and worker.claim.token not in held and not worker.handing_back:
                self._order_back(worker)
        self._stored = load_stored(self._database, self._stored.name)

    def _order_back(self, worker: Worker) -> None:
        worker.handing_back = True
        try:
            worker.connection.send(Order.HAND_BACK)
        except (BrokenPipeError, ConnectionResetError):
            logger.debug("worker %d is gone already", worker.slot)

    def _hand_back_all(self, pool: Pool) -> None:
        for worker in pool.workers:
            if worker.claim is not None and not worker.handing_back:
                self._order_back(worker)
        end = time.monotonic() + HAND_BACK_S
        while _busy(pool) and time.monotonic() < end:
            self._listen(pool, POLL_S)
        for worker in pool.workers:
            if worker.claim is not None:
                attempts.hand_back(self._database, worker.claim)
                worker.claim = None


def _busy(pool: Pool) -> bool:
    return any(worker.claim is not None for worker in pool.workers)
