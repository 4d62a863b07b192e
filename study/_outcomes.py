"""From what became of a trial to what the database keeps and the log says."""

import logging
import signal
from dataclasses import replace

from optuna.trial import TrialState

from storage.agents import user_and_host
from storage.attempts import Claim
from storage.endings import Ending
from study._messages import PRUNED_FAILURES, Done, Failed
from study.artifacts import artifacts_of
from study.config import RetrySection

logger = logging.getLogger(__name__)


def ending_of(message: Done | Failed, device: str, *, weights: str, token: str = "") -> Ending:
    """How the trial ends in the database, by a worker's last word on it."""
    artifacts = artifacts_of(token) if message.carries else ()
    if isinstance(message, Done):
        return Ending(
            TrialState.PRUNED if message.pruned else TrialState.COMPLETE,
            values=message.values,
            attributes={**message.attributes, **_where(device)},
            weights=None if message.pruned else weights,
            constraints=message.constraints,
            artifacts=artifacts,
        )
    failed = _failure(message.failure, message.reason, message.details, device)
    return replace(
        failed,
        attributes={**message.attributes, **(failed.attributes or {})},
        constraints={**message.constraints, **(failed.constraints or {})},
        artifacts=artifacts,
    )


def crashed(exit_code: int | None, device: str) -> Ending:
    """How a trial ends whose worker has died.

    Args:
        exit_code: As Python gives it: minus the signal's number after a signal.
        device: The worker's.
    """
    reason = f"the worker ended with exit status {exit_code}"
    if exit_code is not None and exit_code < 0:
        reason = f"the worker was killed by {_signal_name(-exit_code)}"
    if exit_code == -signal.SIGKILL:
        reason += "; if nobody did that, the machine was out of memory"
    return _failure("crash", reason, reason, device)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most of the real-time signals have no name
        return f"signal {number}"


def timed_out(limit_s: float, device: str) -> Ending:
    """How a trial ends that has taken too long."""
    reason = f"not done within budget.trial_timeout, {limit_s:g} s"
    return _failure("timeout", reason, reason, device)


def stalled(silence_s: float, device: str) -> Ending:
    """How a trial ends whose worker gives no sign of life."""
    reason = f"no batch was finished for {silence_s:g} s (workers.stall): the worker was frozen, or hangs"
    return _failure("timeout", reason, reason, device)


def _failure(failure: str, reason: str, details: str, device: str) -> Ending:
    return Ending(
        TrialState.PRUNED if failure in PRUNED_FAILURES else TrialState.FAIL,
        attributes={"failure": failure, "reason": reason, **_where(device)},
        failure=failure,
        message=details,
        constraints={"memory": 1.0} if failure == "oom" else None,
    )


def _where(device: str) -> dict[str, str]:
    return {"worker": user_and_host(), "device": device}


def retries(failure: str | None, section: RetrySection) -> int:
    """How often a trial is tried again after a class of failure; after one of its device once, on another."""
    limits = {"oom": section.oom, "error": section.error, "device": min(1, section.lost)}
    return limits.get(failure or "", 0)


def reason_of(ending: Ending) -> str:
    """Why a trial failed, in one line."""
    return str((ending.attributes or {}).get("reason", ""))


def log_outcome(claim: Claim, ending: Ending, metric: str, *, paused: bool = False) -> None:
    """The one place that logs how a trial ended, or that it waits."""
    if ending.failure is not None:
        logger.warning("trial %d %s (%s): %s", claim.number, ending.state.name, ending.failure, reason_of(ending))
        return
    epochs = (ending.attributes or {}).get("epochs", "?")
    logger.info(
        "trial %d %s: %s %.4f after %s epochs",
        *(claim.number, "PAUSED" if paused else ending.state.name, metric, ending.values[0], epochs),
    )
