"""Where a trial's files lie, and which of them are kept."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import TrialState
from sqlalchemy import Connection, select, update

from storage import _optuna, files
from storage.attempts import Claim
from storage.database import Database, retried
from storage.tables import ATTEMPTS
from study._messages import WEIGHTS as WEIGHTS
from study.front import front, losses
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
    """Remove the weights of all but the best ``checkpoint.keep`` trials; those removed can be trained again.

    With several objectives all trials of the front keep theirs.
    """
    for weights in _forget_surplus(database, stored.study_id, plan):
        folder = weights.rpartition("/")[0]
        _quietly(folder)
        _drop_empty(folder.rpartition("/")[0])


@retried
def _forget_surplus(database: Database, study_id: int, plan: Plan) -> list[str]:
    """Have no attempt name the weights that are not kept; where they lie."""
    with database.write() as connection:
        surplus = _surplus(_kept(connection, study_id, plan), plan)
        # Two agents that forget the same ones lock them in one order.
        for token in sorted(kept.token for kept in surplus):
            connection.execute(update(ATTEMPTS).where(ATTEMPTS.c.token == token).values(weights=None))
    return [kept.weights for kept in surplus]


@dataclass(frozen=True)
class _Kept:
    """Weights that are kept; of what is better in each objective, `losses` are less."""

    token: str
    weights: str
    number: int
    losses: tuple[float, ...]


def _kept(connection: Connection, study_id: int, plan: Plan) -> list[_Kept]:
    trials, values = _optuna.TRIALS, _optuna.TRIAL_VALUES
    rows = connection.execute(
        select(ATTEMPTS.c.token, ATTEMPTS.c.weights, trials.c.number, values.c.value, values.c.value_type)
        .join(trials, trials.c.trial_id == ATTEMPTS.c.trial_id)
        .join(values, values.c.trial_id == trials.c.trial_id)
        .where(ATTEMPTS.c.study_id == study_id, ATTEMPTS.c.weights.is_not(None))
        .where(trials.c.state == TrialState.COMPLETE)
        .order_by(trials.c.number, values.c.objective)
    )
    found: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for token, weights, number, value, kind in rows:
        found[token, weights, number].append(_optuna.final_value(value, kind))
    return [_Kept(*which, losses(all_values, plan.directions)) for which, all_values in found.items()]


def _surplus(kept: Sequence[_Kept], plan: Plan) -> list[_Kept]:
    """All but the best so many; with several objectives the whole front stays."""
    chosen = {each.number for each in front(kept, lambda each: each.losses)} if len(plan.objectives) > 1 else set[int]()
    ranking = sorted(kept, key=lambda each: (each.number not in chosen, each.losses[0], each.number))
    return ranking[max(plan.config.checkpoint.keep, len(chosen)) :]


def _drop_empty(folder: str) -> None:
    if not files.list_folder(folder):
        _quietly(folder)
