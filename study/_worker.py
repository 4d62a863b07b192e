"""A worker: a warm child process that trains one trial at a time for its agent."""

import logging
import os
import select
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from objectives._errors import Interrupted
from objectives._fit_settings import EpochResult
from storage._failpoints import WRITTEN, reached
from storage.files import join, write_file
from study import _preload
from study._checkpoints import Checkpoints
from study._failures import failed
from study._holder import free_memory
from study._lifeline import end_with_parent, end_with_peer
from study._messages import (
    PROGRESS_S,
    WEIGHTS,
    Begun,
    Checkpointed,
    Done,
    Failed,
    HandedBack,
    Order,
    Peak,
    Progress,
    Ready,
    TrialJob,
    progress_s,
)
from study._peak import PeakMemory
from study._residence import HolderUnusable, settle
from study._rungs import rungs_of
from study._training import TrialRun
from study._trial_files import leave_files
from study._trial_log import epoch_line, show_warnings, trial_log
from study._trial_record import epoch_json
from study.devices import torch_name

logger = logging.getLogger(__name__)


class _Agent:
    """The other end of the pipe. When it is gone, so is this process."""

    def __init__(self, connection: Connection, progress_s: float = PROGRESS_S) -> None:
        self._connection, self._progress_s = connection, progress_s
        self.peak: PeakMemory | None = None
        self._said = time.monotonic()

    def send(self, message: object) -> None:
        self._said = time.monotonic()
        try:
            self._connection.send(message)
        except OSError:
            os._exit(0)

    def receive(self) -> Any:
        try:
            return self._connection.recv()
        except (EOFError, OSError):
            os._exit(0)

    def ask(self, epoch: EpochResult) -> Order:
        """Report an epoch; the answer."""
        risen = self.peak.risen() if self.peak is not None else None
        if risen is not None:
            self.send(Peak(risen))
        self.send(epoch)
        order = self.receive()
        if not isinstance(order, Order):
            raise RuntimeError(f"the agent answered an epoch with {order!r}")
        return order

    def wants_trial_back(self) -> bool:
        """Whether it has said so meanwhile; asked at every batch, so it hears of progress here."""
        if time.monotonic() - self._said >= self._progress_s and self._listens():
            self.send(Progress())
        return self._connection.poll() and self.receive() is Order.HAND_BACK

    def _listens(self) -> bool:
        # One that is frozen, or waits for its database, must not keep this process from training: a pipe fills up.
        return bool(select.select([], [self._connection], [], 0)[1])


def main(connection: Connection, device: str, threads: int, holder: Connection | None = None) -> None:
    """Serve the agent at the other end of the pipe until it hangs up.

    Args:
        device: Torch's name, such as ``cpu`` or ``cuda:1``.
        threads: Threads that torch may use on the CPU.
        holder: A line to the process that holds the events on the device, if there is one.
    """
    end_with_parent()
    end_with_peer(connection)
    show_warnings()
    warm = _preload.WARM
    agent = _Agent(connection, progress_s(warm.plan.config.workers.stall if warm else None))
    fault, residence = None if _preload.ERROR else _use(device, threads), ""
    if warm is not None and fault is None and holder is not None:
        try:
            data, residence = settle(holder, warm.data, torch_name(device))
            warm = replace(warm, data=data)
        except HolderUnusable as unusable:
            fault = Failed("device", str(unusable), str(unusable))
    agent.send(Ready(os.getpid(), warm.parts if warm else (), _preload.ERROR, fault, residence))
    if warm is None or fault is not None:
        return
    if warm.plan.config.workers.per_device == "auto":
        agent.peak = PeakMemory(torch_name(device))
    while True:
        job = agent.receive()
        if isinstance(job, TrialJob):
            agent.send(Begun())
            agent.send(_attempt(agent, warm, job, device))


def _use(device: str, threads: int) -> Failed | None:
    """Take the device; why that failed, or None."""
    import torch

    torch.set_num_threads(threads)
    try:
        if device.startswith("cuda"):
            torch.cuda.set_device(device)
            torch.zeros(1, device=device)  # makes the context, and fails here where no trial is to blame
    except Exception as error:
        return failed(error)
    return None


def _attempt(agent: _Agent, warm: _preload.Warm, job: TrialJob, device: str) -> Done | Failed | HandedBack:
    """Train one trial; how it ended."""
    answer: Done | Failed
    run = TrialRun(warm.plan, warm.facts, job.number, job.sampled, torch_name(device))
    checkpoints = Checkpoints(run, job.folder, rungs_of(warm.plan))
    with trial_log() as log:
        logger.info("trial %d, attempt %d, on %s, seed %d", job.number, job.attempt, device, run.seed)
        try:
            answer = _train(agent, warm, job, run, checkpoints)
        except Interrupted:
            return HandedBack(checkpoints.last_one())
        except (Exception, SystemExit) as error:
            answer = replace(failed(error), attributes=run.costs, constraints=run.constraints)
        if isinstance(answer, Failed) and answer.failure == "oom":
            free_memory()
        if not job.artifacts:
            return answer
        try:
            leave_files(warm.plan, job, run, answer, warm.data.known, log.lines)
        except Exception as error:  # the result must not be lost for what people look at
            logger.warning("trial %d leaves no files: %s: %s", job.number, type(error).__name__, error)
            return answer
    return replace(answer, carries=True)


def _train(agent: _Agent, warm: _preload.Warm, job: TrialJob, run: TrialRun, checkpoints: Checkpoints) -> Done | Failed:
    resume = checkpoints.read(job.resume)
    epochs = run.epochs(warm.data, should_stop=agent.wants_trial_back, resume=resume, admit=job.admit)
    order = Order.CONTINUE
    for epoch in epochs:
        logger.info("%s", epoch_line(epoch_json(epoch)))
        order = agent.ask(epoch)
        if order is Order.HAND_BACK:
            raise Interrupted("the agent wants the trial back")
        if order in (Order.PRUNE, Order.PAUSE):
            break
        place = checkpoints.write_if_due()
        if place is not None:
            reached("checkpoint", WRITTEN, job.number, job.attempt)
            agent.send(Checkpointed(place))
    epochs.close()
    undefined = [each.name for each, value in zip(warm.plan.objectives, run.values, strict=True) if value != value]
    if undefined:
        which = "in any epoch" if run.value != run.value else f"after the best epoch, {run.trainer.best.epoch}"
        reason = f"{undefined[0]} is not a number for the validation events, {which}"
        return Failed("nan", reason, reason, attributes=run.costs, constraints=run.constraints)
    if order is Order.CONTINUE:
        _save(run, join(job.folder, WEIGHTS))
    checkpoint = checkpoints.last_one() if order is Order.PAUSE else None
    if checkpoint is not None:
        reached("checkpoint", WRITTEN, job.number, job.attempt)
    attributes = run.attributes() | {"attempts": job.attempt}
    return Done(run.values, order is not Order.CONTINUE, attributes, run.constraints, checkpoint=checkpoint)


def _save(run: TrialRun, place: str) -> None:
    try:
        write_file(place, run.weights())
    except Exception as error:
        # The place comes last: the first line is the reason, which must be the same for each trial.
        reason = getattr(error, "strerror", None) or error
        raise OSError(f"the weights could not be written: {reason}\n{place}") from error
