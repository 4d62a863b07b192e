"""What an agent writes to the database about the trials in its hands."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from objectives._fit_settings import EpochResult
from storage import attempts, files, pausing, studies
from storage.attempts import Claim
from storage.endings import Ending
from storage.errors import LeaseLost, StudyhallError
from storage.history import History
from storage.tables import StudyState
from storage.trial_storage import TrialStorage
from study._epoch_buffer import EpochBuffer
from study._failures import failed
from study._messages import Failed, Order, TrialJob
from study._outcomes import ending_of, log_outcome, reason_of, retries
from study._scribing import Scribe
from study._trial_files import write_trial_files
from study._trial_log import epoch_line
from study._trial_record import epoch_json, trial_record
from study.artifacts import artifacts_of
from study.files import (
    WEIGHTS,
    attempt_folder,
    keep_best_weights,
    remove_all_but,
    remove_others,
    remove_trial,
)
from study.goals import goal_reached, has_goal
from study.plan import Plan
from study.proposals import Proposals, SpaceExhausted
from study.pruning import make_pruning
from study.stored import StoredStudy, load_stored

logger = logging.getLogger(__name__)

EQUAL_ERRORS = 5
"""After so many failures in a row with the same reason the study is halted: it is a mistake, not bad luck."""
MISTAKES = ("error", "crash", "data")
"""Failures that may all come from one mistake."""


class Ledger:
    """Writes each step of a trial's life; a trial that another agent has taken over is dropped without harm.

    Attributes:
        stored: The study as last read.
        scribe: Draws and refreshes what people look at, or None.
    """

    scribe: Scribe | None = None

    def __init__(self, storage: TrialStorage, stored: StoredStudy, plan: Plan) -> None:
        self._database, self.stored, self._plan = storage.database, stored, plan
        study = optuna.load_study(study_name=stored.name, storage=storage)
        self._next = 0
        self._alone = False
        self._chores: list[Callable[[], None]] = []
        self._epochs = EpochBuffer(storage.database)
        self._history = History(storage.database, stored.study_id)
        self._sampled: dict[str, Mapping[str, Any]] = {}
        self._pruning = make_pruning(plan, storage, stored.name, stored.study_id)
        self._proposals = Proposals(storage.database, study, plan, paused=self._paused)
        self._equal_reasons: list[str] = []

    def begin(self, claim: Claim, device: str) -> TrialJob | None:
        """Sample the trial's hyperparameters; what its worker has to do, or None if that failed and the trial with it.

        A sampler's mistake, or a value that somebody enqueued, must not end the agent.
        """
        if claim.attempt == 1:
            self._alone, self._next = claim.number == self._next, claim.number + 1
        try:
            sampled = self._proposals.propose(claim)
        except LeaseLost as lost:
            logger.warning("%s; it is dropped here", lost)
            return None
        except SpaceExhausted as exhausted:
            self.end(claim, ending_of(Failed("duplicate", str(exhausted), str(exhausted)), device, weights=""))
            studies.set_goal_reached(self._database, self.stored.record, str(exhausted))
            return None
        except (StudyhallError, StorageInternalError, SQLAlchemyError):
            raise
        except Exception as error:
            self.end(claim, ending_of(failed(error), device, weights=self.weights(claim)))
            return None
        self._sampled[claim.token] = sampled
        return TrialJob(
            number=claim.number,
            sampled=sampled,
            folder=attempt_folder(self.stored, claim),
            resume=claim.checkpoint,
            attempt=claim.attempt,
            token=claim.token,
            artifacts=self.stored.trial_artifacts,
        )

    def meanwhile(self) -> None:
        """What no worker shall wait for: forget the files of ended trials, and propose the next trial's parameters.

        Proposing ahead pays while nobody else claims trials: it is for a trial of a certain number.
        """
        chores, self._chores = self._chores, []
        for chore in chores:
            chore()
        self._epochs.write_due()
        if self.scribe is not None:
            self.scribe.refresh()
        if not self._alone:
            return
        try:
            self._proposals.prepare(self._next)
        except (StudyhallError, StorageInternalError, SQLAlchemyError):
            raise
        except Exception as error:  # it will come again when the trial is there
            logger.debug("nothing could be proposed ahead: %s", error)

    def epoch(self, claim: Claim, result: EpochResult) -> Order:
        """Record an epoch; what the worker shall do next."""
        try:
            value = result.metrics[self._plan.metric]
            attempts.report(self._database, claim, result.epoch, value, self._pruning.reading(result.epoch))
            self._epochs.add(claim, epoch_json(result))
        except LeaseLost as lost:
            logger.warning("%s; it is dropped here", lost)
            return Order.HAND_BACK
        if result.epoch < claim.reported:  # an earlier attempt was let through here
            return Order.CONTINUE
        if not self._pruning.stops(claim, result.epoch, value):
            return Order.CONTINUE
        waiting = self._pruning.pausing
        return Order.PAUSE if waiting is not None and waiting.keeps(claim, result.epoch, value) else Order.PRUNE

    def pause(self, claim: Claim, checkpoint: str, ending: Ending) -> None:
        """Let a stopped trial wait at its rung, and give up those that need not wait any more."""
        try:
            pausing.pause(self._database, claim, checkpoint, ending, self._epochs.left(claim))
        except LeaseLost as lost:
            logger.warning("%s; its result is dropped here", lost)
            self._remove(claim)
            return
        finally:
            self._forget(claim)
        log_outcome(claim, ending, self._plan.metric, paused=True)
        remove_others(checkpoint)
        self._chores.append(self._give_up_surplus)

    def promotable(self) -> list[int]:
        """Ids of waiting trials that may go on, best first."""
        waiting = self._pruning.pausing
        if waiting is None:
            return []
        record = self.stored.record
        waiting.left = None if record.budget.trials is None else max(0, record.budget.trials - record.started)
        pausing.look(self._database, waiting.read)
        return waiting.promotable()

    def tidy(self) -> None:
        """Remove what trials have left that were given up with the study's end."""
        for number in [] if self._pruning.pausing is None else [t.number for t in self._pruning.pausing.waiting]:
            remove_trial(self.stored, number)

    def _paused(self) -> list[int]:
        return [] if self._pruning.pausing is None else [trial.trial_id for trial in self._pruning.pausing.waiting]

    def _give_up_surplus(self) -> None:
        self.promotable()
        surplus = self._pruning.pausing.surplus() if self._pruning.pausing is not None else []
        for number in pausing.give_up(self._database, self.stored.study_id, surplus) if surplus else []:
            logger.info("trial %d is given up: others of its rung are better", number)
            remove_trial(self.stored, number)

    def end(self, claim: Claim, ending: Ending) -> None:
        """Record how a trial ended, or that it is tried again."""
        try:
            if self._tried_again(claim, ending):
                if ending.failure != "device":  # the next attempt goes on from its checkpoint
                    self._remove(claim)
                return
            ending = self._with_files(claim, ending)
            attempts.finish(self._database, claim, ending, self._epochs.left(claim))
        except LeaseLost as lost:
            logger.warning("%s; its result is dropped here", lost)
            self._remove(claim)
            return
        finally:
            self._forget(claim)
        log_outcome(claim, ending, self._plan.metric)
        if self.scribe is not None and ending.artifacts:
            self.scribe.draw(self.stored.trial_artifacts, claim.token)
        self._chores.append(partial(remove_all_but, self.stored, claim, ending.weights))
        if ending.state is TrialState.COMPLETE:
            self._chores.append(partial(keep_best_weights, self._database, self.stored, self._plan))
        if ending.state is not TrialState.FAIL:
            self._note_goal()
        self._note_mistake(ending)

    def _with_files(self, claim: Claim, ending: Ending) -> Ending:
        """Leave the files of a trial whose worker could not."""
        if ending.artifacts:
            return ending
        state = ending.state.name + (f" ({ending.failure})" if ending.failure else "")
        reason = reason_of(ending)
        history, sampled = self._epochs.all(claim), self._sampled.get(claim.token, {})
        try:
            record = trial_record(self._plan, claim.number, sampled, state=state, history=history, reason=reason)
            log = [*(epoch_line(epoch) for epoch in history), *(ending.message or reason).splitlines()]
            write_trial_files(self.stored.trial_artifacts, claim.token, record, log)
        except Exception as error:  # what people look at must not end an agent
            logger.warning("trial %d leaves no files: %s: %s", claim.number, type(error).__name__, error)
            return ending
        return replace(ending, artifacts=artifacts_of(claim.token))

    def _forget(self, claim: Claim) -> None:
        self._epochs.drop(claim)
        self._sampled.pop(claim.token, None)

    def _tried_again(self, claim: Claim, ending: Ending) -> bool:
        limit = retries(ending.failure, self.stored.config.retry)
        if limit == 0 or ending.failure is None:
            return False
        again = attempts.try_again(self._database, claim, ending.failure, ending.message, limit)
        if again:
            logger.warning("trial %d failed (%s) and is tried again: %s", claim.number, ending.failure, ending.message)
        return again

    def checkpoint(self, claim: Claim, place: str) -> None:
        """Name the trial's newest checkpoint, and remove its former ones."""
        try:
            attempts.checkpoint(self._database, claim, place, self._epochs.left(claim))
        except LeaseLost as lost:
            logger.warning("%s", lost)  # its next epoch ends it
            return
        self._epochs.mark_written(claim)
        remove_others(place)

    def hand_back(self, claim: Claim, checkpoint: str | None = None) -> None:
        """Let anyone take the trial up again, from its checkpoint if it has one."""
        try:
            self._epochs.write(claim)
            attempts.hand_back(self._database, claim, checkpoint)
        except LeaseLost as lost:
            logger.warning("%s", lost)
            self._remove(claim)
            return
        finally:
            self._forget(claim)
        logger.info("trial %d handed back", claim.number)
        if checkpoint is not None:
            remove_others(checkpoint)

    def renew(self, claims: list[Claim], *, away: str | None) -> tuple[StudyState, set[str]]:
        """Renew leases and read the study anew; its state, and the tokens of the trials that are still ours.

        Args:
            away: The agent's id if that could not be done for a whole lease.
        """
        tokens = [claim.token for claim in claims]
        lease = self.stored.config.lease.seconds
        state, held = attempts.renew(self._database, self.stored.study_id, tokens, lease, away=away)
        self.stored = load_stored(self._database, self.stored.name)
        return state, held

    def weights(self, claim: Claim) -> str:
        """Where the attempt's best weights go."""
        return files.join(attempt_folder(self.stored, claim), WEIGHTS)

    def _remove(self, claim: Claim) -> None:
        files.remove(attempt_folder(self.stored, claim))

    def _note_goal(self) -> None:
        """End the search if a goal is reached by what all agents have written."""
        if not has_goal(self.stored.config.budget):
            return
        stored = load_stored(self._database, self.stored.name)  # the goal may have been changed meanwhile
        reason = goal_reached(replace(self._plan, config=stored.config), self._history.read())
        if reason is not None and stored.record.goal_reached is None:
            studies.set_goal_reached(self._database, stored.record, reason)

    def _note_mistake(self, ending: Ending) -> None:
        if ending.failure not in MISTAKES:
            self._equal_reasons = []
            return
        reason = reason_of(ending)
        self._equal_reasons = [*(known for known in self._equal_reasons if known == reason), reason]
        if len(self._equal_reasons) >= EQUAL_ERRORS:
            why = f"{EQUAL_ERRORS} trials in a row failed with: {reason}"
            logger.error("the study is halted: %s", why)
            studies.set_state(self._database, self.stored.study_id, StudyState.HALTED, why)
