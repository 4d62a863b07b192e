"""From what a worker said to what the database keeps."""

import logging
from pathlib import Path

from optuna.trial import TrialState

from storage.agents import user_and_host
from storage.attempts import Claim, Ending
from study._messages import Done, Failed

logger = logging.getLogger(__name__)

PRUNED_FAILURES = ("oom", "nan")
"""Told as PRUNED: samplers learn from such trials and ignore failed ones."""


def ending_of(message: Done | Failed, device: str, *, weights: Path) -> Ending:
    """How the trial ends in the database."""
    where = {"worker": user_and_host(), "device": device}
    if isinstance(message, Done):
        return Ending(
            TrialState.PRUNED if message.pruned else TrialState.COMPLETE,
            values=(message.value,),
            attributes={**message.attributes, **where},
            weights=None if message.pruned else str(weights),
        )
    state = TrialState.PRUNED if message.failure in PRUNED_FAILURES else TrialState.FAIL
    reason = message.message.strip().splitlines()[-1]
    return Ending(
        state,
        attributes={"failure": message.failure, "reason": reason, **where},
        failure=message.failure,
        message=message.message,
    )


def log_outcome(claim: Claim, ending: Ending, metric: str) -> None:
    """The one place that logs how a trial ended."""
    attributes = ending.attributes or {}
    if ending.failure is not None:
        logger.warning("trial %d %s (%s): %s", claim.number, ending.state.name, ending.failure, ending.message)
        return
    logger.info(
        "trial %d %s: %s %.4f after %s epochs",
        claim.number,
        ending.state.name,
        metric,
        ending.values[0],
        attributes.get("epochs", "?"),
    )
