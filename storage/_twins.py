"""Whether another trial of a study has the same parameters."""

from collections.abc import Mapping

from optuna.distributions import BaseDistribution
from optuna.trial import TrialState
from sqlalchemy import Connection, and_, func, or_, select

from storage._optuna import TRIAL_PARAMS, TRIALS
from storage.tables import STUDIES


def lock_study(connection: Connection, study_id: int) -> None:
    """Let no other trial of the study be given parameters until this transaction ends."""
    connection.execute(select(STUDIES.c.study_id).where(STUDIES.c.study_id == study_id).with_for_update())


def has_twin(
    connection: Connection, study_id: int, trial_id: int, parameters: Mapping[str, tuple[float, BaseDistribution]]
) -> bool:
    """Whether another trial that has not failed has these and no other parameters."""
    name, value = TRIAL_PARAMS.c.param_name, TRIAL_PARAMS.c.param_value
    same = or_(*(and_(name == key, value == internal) for key, (internal, _) in parameters.items()))
    others = and_(TRIALS.c.study_id == study_id, TRIALS.c.trial_id != trial_id, TRIALS.c.state != TrialState.FAIL)
    alike = (
        select(TRIAL_PARAMS.c.trial_id)
        .join(TRIALS, TRIALS.c.trial_id == TRIAL_PARAMS.c.trial_id)
        .where(others, same)
        .group_by(TRIAL_PARAMS.c.trial_id)
        .having(func.count() == len(parameters))
    )
    counts = (
        select(TRIAL_PARAMS.c.trial_id)
        .where(TRIAL_PARAMS.c.trial_id.in_(alike))
        .group_by(TRIAL_PARAMS.c.trial_id)
        .having(func.count() == len(parameters))
    )
    return connection.scalar(counts.limit(1)) is not None
