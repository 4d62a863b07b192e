"""Where a trial's files lie, and which of them are kept."""

import logging

from optuna.trial import TrialState
from sqlalchemy import select, update

from storage import _optuna, files
from storage.attempts import Claim
from storage.database import Database, retried
from storage.tables import ATTEMPTS
from study._messages import WEIGHTS as WEIGHTS
from study.plan import Plan
from study.stored import StoredStudy

logger = logging.getLogger(__name__)


def attempt_folder(stored: StoredStudy, claim: Claim) -> str:
    """The folder of an attempt's files; no two attempts share one, since files cannot be fenced."""
    return files.join(stored.files, f"trial-{claim.number}", f"attempt-{claim.attempt}-{claim.token}")


def remove_all_but(stored: StoredStudy, claim: Claim, weights: str | None) -> None:
    """Remove what the attempts at an ended trial have left, except its weights; a failure is only logged."""
    if weights is None:
        remove_trial(stored, claim.number)
        return
    trial, own = files.join(stored.files, f"trial-{claim.number}"), attempt_folder(stored, claim)
    for name in files.list_folder(trial):
        if files.join(trial, name) != own:
            _quietly(files.join(trial, name))
    remove_others(weights)


def remove_trial(stored: StoredStudy, number: int) -> None:
    """Remove all that the attempts at a trial have left; a failure is only logged."""
    _quietly(files.join(stored.files, f"trial-{number}"))


def remove_others(place: str) -> None:
    """Remove what else lies in a file's folder; a failure is only logged."""
    folder, _, kept = place.rpartition("/")
    for name in files.list_folder(folder):
        if name != kept:
            _quietly(files.join(folder, name))


def _quietly(place: str) -> None:
    try:
        files.remove(place)
    except Exception as error:  # a file system of any kind; `gc` finds it again
        logger.debug("%s is not removed: %s", place, error)


def keep_best_weights(database: Database, stored: StoredStudy, plan: Plan) -> None:
    """Remove the weights of all but the best ``checkpoint.keep`` trials; those removed can be trained again."""
    for weights in _forget_surplus(database, stored.study_id, plan):
        folder = weights.rpartition("/")[0]
        _quietly(folder)
        _drop_empty(folder.rpartition("/")[0])


@retried
def _forget_surplus(database: Database, study_id: int, plan: Plan) -> list[str]:
    """Have no attempt name the weights that are not kept; where they lie."""
    trials, values = _optuna.TRIALS, _optuna.TRIAL_VALUES
    order = values.c.value.desc() if plan.direction == "maximize" else values.c.value.asc()
    with database.write() as connection:
        rows = connection.execute(
            select(ATTEMPTS.c.token, ATTEMPTS.c.weights)
            .join(trials, trials.c.trial_id == ATTEMPTS.c.trial_id)
            .join(values, values.c.trial_id == trials.c.trial_id)
            .where(
                ATTEMPTS.c.study_id == study_id,
                ATTEMPTS.c.weights.is_not(None),
                trials.c.state == TrialState.COMPLETE,
            )
            .order_by(order, trials.c.number)
        ).all()
        surplus = rows[plan.config.checkpoint.keep :]
        tokens = sorted(token for token, _ in surplus)  # two agents that forget the same ones lock them in one order
        for token in tokens:
            connection.execute(update(ATTEMPTS).where(ATTEMPTS.c.token == token).values(weights=None))
    return [weights for _, weights in surplus]


def _drop_empty(folder: str) -> None:
    if not files.list_folder(folder):
        _quietly(folder)
