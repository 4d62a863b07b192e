"""One epoch's value: a single statement, which asks in the database whether the attempt may still write."""

import logging
import math
from functools import lru_cache
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, bindparam, literal, select

from storage import _failpoints, _optuna
from storage._upsert import insert_from
from storage.tables import ATTEMPTS, AttemptState

logger = logging.getLogger(__name__)


def insert_value(connection: Connection, token: str, trial_id: int, epoch: int, value: float) -> bool:
    """Add the value if the attempt is the running one of a running trial and none is there yet; whether it did.

    The attempt's row is locked, so nobody takes the trial over before the transaction ends.
    """
    stored, kind = _optuna.stored_intermediate_value(value)
    given = {"epoch": epoch, "stored": stored, "kind": kind, "token": token, "trial": trial_id}
    done = connection.execute(_insertion(connection.dialect.name, _failpoints.fenced()), given)
    return bool(done.rowcount > 0)


@lru_cache
def _insertion(dialect: str, fenced: bool) -> Any:
    """Made once, since making it costs more than executing it."""
    table, trials = _optuna.INTERMEDIATE_VALUES, _optuna.TRIALS
    row = {
        "trial_id": trials.c.trial_id,
        "step": bindparam("epoch", type_=table.c.step.type),
        "intermediate_value": bindparam("stored", type_=table.c.intermediate_value.type),
        "intermediate_value_type": bindparam("kind", type_=table.c.intermediate_value_type.type),
    }
    mine = (ATTEMPTS.c.token == bindparam("token")) & (ATTEMPTS.c.trial_id == bindparam("trial"))
    open_ = ATTEMPTS.c.state == AttemptState.RUNNING if fenced else literal(True)
    source = (
        select(*(value.label(name) for name, value in row.items()))
        .join_from(ATTEMPTS, trials, trials.c.trial_id == ATTEMPTS.c.trial_id)
        .where(mine, open_, trials.c.state == TrialState.RUNNING)
        .with_for_update(read=True, of=ATTEMPTS if dialect == "postgresql" else None)
    )
    statement = insert_from(dialect, table, list(row), source, key=("trial_id", "step"))
    return statement.execution_options(preserve_rowcount=True)


def runs(connection: Connection, trial_id: int) -> bool:
    """Whether the trial runs by Optuna's tables."""
    trials = _optuna.TRIALS
    running = (trials.c.trial_id == trial_id) & (trials.c.state == TrialState.RUNNING)
    return connection.scalar(select(trials.c.trial_id).where(running)) is not None


def warn_of_other_bits(connection: Connection, trial_id: int, epoch: int, value: float) -> None:
    """An epoch that is trained again gives the same value, unless the hosts' processors or packages differ."""
    table = _optuna.INTERMEDIATE_VALUES.c
    recorded = connection.execute(
        select(table.intermediate_value, table.intermediate_value_type).where(
            table.trial_id == trial_id, table.step == epoch
        )
    ).one()
    before = _optuna.intermediate_value(*recorded)
    if before != value and not (math.isnan(before) and math.isnan(value)):
        logger.warning(
            "the trial with id %d, epoch %d: %r when it is trained again here, %r before; the recorded value stays. "
            "Hosts with different processors or versions of torch do not give the same bits",
            *(trial_id, epoch, value, before),
        )
