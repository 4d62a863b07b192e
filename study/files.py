"""Where a trial's files lie, and which of them are kept."""

import logging
import shutil
from pathlib import Path

from optuna.trial import TrialState
from sqlalchemy import select, update

from storage import _optuna
from storage.attempts import Claim
from storage.database import Database
from storage.tables import ATTEMPTS
from study.plan import Plan
from study.stored import StoredStudy

logger = logging.getLogger(__name__)


def weights_path(stored: StoredStudy, claim: Claim) -> Path:
    """The file of an attempt's best weights; no two attempts share one, since files cannot be fenced."""
    return stored.files / f"trial-{claim.number}" / f"attempt-{claim.attempt}-{claim.token}" / "best.safetensors"


def keep_best_weights(database: Database, stored: StoredStudy, plan: Plan) -> None:
    """Remove the weights of all but the best ``checkpoint.keep`` trials; those removed can be trained again."""
    trials, values = _optuna.TRIALS, _optuna.TRIAL_VALUES
    order = values.c.value.desc() if plan.direction == "maximize" else values.c.value.asc()
    with database.write() as connection:
        rows = connection.execute(
            select(ATTEMPTS.c.token, ATTEMPTS.c.weights)
            .join(trials, trials.c.trial_id == ATTEMPTS.c.trial_id)
            .join(values, values.c.trial_id == trials.c.trial_id)
            .where(
                ATTEMPTS.c.study_id == stored.study_id,
                ATTEMPTS.c.weights.is_not(None),
                trials.c.state == TrialState.COMPLETE,
            )
            .order_by(order, trials.c.number)
        ).all()
        surplus = rows[plan.config.checkpoint.keep :]
        for token, _ in surplus:
            connection.execute(update(ATTEMPTS).where(ATTEMPTS.c.token == token).values(weights=None))
    for _, weights in surplus:
        remove_weights(Path(weights), stored.files)


def remove_weights(weights: Path, root: Path) -> None:
    """Remove a file of weights and the folders that this leaves empty, up to `root`; a failure is only logged."""
    try:
        _remove(weights, root)
    except OSError as error:  # another host's folder, or another agent was first
        logger.debug("%s is not removed: %s", weights, error)


def remove_attempt(weights: Path) -> None:
    """Remove whatever an attempt has left that came to nothing; its folder is its own."""
    shutil.rmtree(weights.parent, ignore_errors=True)


def _remove(weights: Path, root: Path) -> None:
    weights.unlink(missing_ok=True)
    for folder in weights.parents:
        if folder == root or not folder.is_relative_to(root) or any(folder.iterdir()):
            return
        folder.rmdir()
