"""One agent per host: it alone talks to the database and the sampler, and keeps its workers busy."""

import contextlib
import logging
import os
import select
import time
from types import FrameType
from typing import Any

from storage import agents
from storage.claims import Refusal, claim
from storage.clock import awake
from storage.errors import DatabaseError, SpaceMigrated
from storage.tables import StudyState
from storage.trials import open_storage, quiet_optuna
from study._child import Worker
from study._crew import Crew
from study._forkserver import ForkserverLost, Stopped
from study._ledger import Ledger
from study._monitor import Monitor
from study._mps import sharing
from study._packer import Packer
from study._pool import Pool
from study._scribing import Scribe
from study.allotment import Allotment
from study.devices import device_slots, most_per_device, threads_per_worker
from study.plan import build_plan
from study.stored import load_stored
from study.summary import summarise

logger = logging.getLogger(__name__)

POLL_S = 1.0
"""Longest wait for the workers, and between two claims that are refused."""
HAND_BACK_S = 10.0
"""How long workers may take to reach a batch boundary before they are killed."""
FINAL = (Refusal.DONE, Refusal.STOPPED, Refusal.HALTED)
"""Refusals after which an idle agent ends; another launch goes on. While the study is paused agents wait."""
LAST_REFRESH_S = 2.0
"""At an agent's end the board is refreshed once more, unless it was just now."""
INTERRUPTED = 130
"""Exit status of a process that was told to end."""


class Agent:
    """Runs trials of one study on this host's devices until the study is done or it is told to end."""

    def __init__(
        self,
        url: str,
        name: str,
        *,
        workers: int | None = None,
        devices: str | None = None,
        use_busy: bool = False,
        ends_at: float | None = None,
        supervisor: Any = None,
    ) -> None:
        """Prepare; nothing is claimed yet.

        Args:
            url: The database.
            name: The study.
            workers: Trials at a time; None means one per device slot.
            devices: Overrides the study's ``workers.devices``.
            use_busy: Take GPUs that somebody else uses too.
            ends_at: When its batch system will kill it, as `time.time`; it hands its trials back before.
            supervisor: A file whose end of input means that the launcher is gone and this agent must end.

        Raises:
            StudyMissing: There is no such study.
            ConfigError: This host lacks a device, or it is in use.
            DatabaseError: The database cannot be reached.
        """
        quiet_optuna()
        self._url = url
        self._storage = open_storage(url)
        self._database = self._storage.database
        stored = load_stored(self._database, name)
        self._database.patience_s = stored.config.lease.patience
        self._database.limit_idle(stored.config.lease.seconds)
        self._space = stored.config.space  # as its workers have it
        self._ledger = Ledger(self._storage, stored, build_plan(stored.config, stored.folder))
        wanted = stored.config.workers
        self._slots = device_slots(devices or wanted.devices, wanted.per_device, workers, use_busy=use_busy)
        self._most = most_per_device(len(self._slots), workers) if wanted.per_device == "auto" else None
        self._allotment = Allotment(ends_at)
        self._supervisor = [] if supervisor is None else [supervisor]
        self._ending = False
        self._state = StudyState.RUNNING
        self._claim_at = 0.0
        self._renewed_at: float | None = None
        self._agent_id = ""

    def run(self) -> Refusal | None:
        """Run trials; why it ended, or None when it was told to end.

        Raises:
            WorkersUnusable: No worker can be started.
            DatabaseError: The database cannot be reached, or this host may not use it.
            SpaceMigrated: The study's search space was changed since this agent read it.
        """
        try:
            return self._nothing_to_do() or self._run()
        finally:
            self._storage.close()

    def _run(self) -> Refusal | None:
        stored = self._ledger.stored
        job = {"config": stored.config.to_json(), "facts": stored.facts.to_json(), "folder": str(stored.folder)}
        lease = stored.config.lease.seconds
        self._agent_id = agents.register_agent(self._database, stored.study_id, alive_s=lease)
        if any(device.startswith("cuda") for device in self._slots) and stored.config.workers.per_device != 1:
            logger.info("%s", sharing())
        try:
            threads = threads_per_worker(len(self._slots) * (self._most or 1))
            with Monitor(self._slots) as monitor, Pool(self._slots, job, threads) as pool:
                scribe = Scribe(self._database, stored, self._url, pool.beside)
                self._ledger.scribe = scribe
                try:
                    packer = None if self._most is None else Packer(pool, self._slots, self._most, monitor)
                    refusal = self._serve(pool, Crew(pool, self._ledger, monitor, packer))
                    if not self._ending:  # else the scribe would be ended before it has done so
                        with contextlib.suppress(DatabaseError):
                            scribe.refresh(LAST_REFRESH_S)
                    return refusal
                finally:
                    scribe.close(hurry=self._ending)
        finally:
            with contextlib.suppress(DatabaseError):
                agents.leave(self._database, self._agent_id)

    def _nothing_to_do(self) -> Refusal | None:
        """Why it is not worth while to load the events, or None."""
        stored = self._ledger.stored
        if stored.record.state in (StudyState.STOPPED, StudyState.HALTED):
            return Refusal.HALTED if stored.record.state is StudyState.HALTED else Refusal.STOPPED
        return Refusal.DONE if summarise(self._database, stored).done else None

    def end(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Ask it to hand its trials back and end; asked again, end the process at once. May be a signal's handler."""
        if self._ending:
            logger.warning("ending at once; trials in hand resume when their lease ends")
            os._exit(INTERRUPTED)
        self._ending = True
        # A database that is away is waited for no longer than a worker.
        self._database.patience_s = min(self._database.patience_s, HAND_BACK_S)

    def _told_to_end(self) -> bool:
        for supervisor in select.select(self._supervisor, [], [], 0)[0]:
            self._ending = self._ending or not os.read(supervisor.fileno(), 1)
        if self._allotment.over and not self._ending:
            logger.info("this job's time ends: handing trials back")
            self.end()
        return self._ending

    def _serve(self, pool: Pool, crew: Crew) -> Refusal | None:
        start = pool.start
        try:
            while True:
                try:
                    start(self._told_to_end)
                    return self._work(pool, crew)
                except ForkserverLost:
                    logger.warning("the process that holds the events was killed; it is started again")
                    crew.drop_all()
                    start = pool.restart
        except Stopped:
            return None
        except BaseException:
            with contextlib.suppress(DatabaseError):  # others take the trials up at once, not after the lease
                crew.drop_all()
            raise

    def _work(self, pool: Pool, crew: Crew) -> Refusal | None:
        while not self._told_to_end() and self._state is not StudyState.STOPPED:
            self._renew(pool, crew)
            refusal = self._claim_all(pool, crew)
            self._ledger.meanwhile()
            if refusal in FINAL and not pool.busy:
                if refusal is Refusal.DONE:
                    self._ledger.tidy()
                return refusal
            crew.listen(POLL_S, self._supervisor)
            crew.end_overdue()
            crew.pack()
        self._hand_back_all(pool, crew)
        self._ledger.meanwhile()
        return None if self._ending else Refusal.STOPPED

    def _renew(self, pool: Pool, crew: Crew) -> None:
        lease, now = self._ledger.stored.config.lease, awake()
        silent_s = 0.0 if self._renewed_at is None else now - self._renewed_at
        if self._renewed_at is not None and silent_s < lease.renew:
            return
        # Whoever was frozen, or cut off from the database, renews before anything else, and lets others do so.
        claims = [w.claim for w in pool.workers if w.claim is not None]
        self._state, held = self._ledger.renew(claims, away=self._agent_id if silent_s > lease.seconds else None)
        self._renewed_at = now
        if self._ledger.stored.config.space != self._space:
            name = self._ledger.stored.name
            raise SpaceMigrated(f"the space of study {name!r} was changed; start this agent again")
        agents.see_agent(self._database, self._agent_id, crew.seen())
        for worker in pool.workers:
            if worker.claim is not None and worker.claim.token not in held:
                worker.order_back()

    def _claim_all(self, pool: Pool, crew: Crew) -> Refusal | None:
        """Give every idle worker a trial; why one got none, or None."""
        now, refused = time.monotonic(), None
        if self._state is StudyState.PAUSED:
            return Refusal.PAUSED
        if not self._allotment.enough:
            return None
        for worker in pool.workers if now >= self._claim_at else []:
            avoid = crew.quarantine.avoided(worker.device)
            refusal = self._claim(worker, avoid) if worker.idle else None
            if refusal is not None:
                self._claim_at, refused = now + POLL_S, refusal
                if not avoid:  # else it need not hold for the others
                    break
        return refused

    def _claim(self, worker: Worker, avoid: list[int]) -> Refusal | None:
        stored = self._ledger.stored
        claimed = claim(
            self._database,
            stored.study_id,
            agent_id=self._agent_id,
            slot=worker.slot,
            lease_s=stored.config.lease.seconds,
            lost_retries=stored.config.retry.lost,
            reap_until=(self._renewed_at or awake()) + stored.config.lease.seconds,
            promote=self._ledger.promotable(),
            avoid=avoid,
        )
        if isinstance(claimed, Refusal):
            return claimed
        limit = stored.config.budget.trial_timeout
        worker.take(claimed, time.monotonic() + limit if limit is not None else None)
        job = self._ledger.begin(claimed, worker.device)
        if job is None:
            worker.drop()
        else:
            worker.send(job)
            logger.info("trial %d starts on %s (attempt %d)", claimed.number, worker.device, claimed.attempt)
        return None

    def _hand_back_all(self, pool: Pool, crew: Crew) -> None:
        """Ask for all trials, wait for a batch boundary, and give up waiting some time later."""
        crew.ending = True
        for worker in pool.workers:
            if worker.claim is not None:
                worker.order_back()
        end = time.monotonic() + HAND_BACK_S
        with contextlib.suppress(ForkserverLost):
            while pool.busy and time.monotonic() < end:
                self._renew(pool, crew)
                crew.listen(POLL_S, [])
        crew.drop_all()
