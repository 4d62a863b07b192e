"""What the values of trials' parameters were drawn from."""

from collections.abc import Sequence

from optuna.distributions import BaseDistribution
from sqlalchemy import select

from storage import _optuna
from storage._rows import distribution
from storage.database import Database, retried
from storage.history import TrialRow


def read_distributions(database: Database, rows: Sequence[TrialRow]) -> dict[str, BaseDistribution]:
    """The distribution of each parameter of these trials, by name; of one that has changed, the newest trial's."""
    newest: dict[str, int] = {}
    for row in rows:
        newest |= dict.fromkeys(row.parameters, row.trial_id)
    return _read(database, sorted({*newest.values()}))


@retried
def _read(database: Database, trial_ids: Sequence[int]) -> dict[str, BaseDistribution]:
    table = _optuna.TRIAL_PARAMS.c
    chosen = select(table.param_name, table.distribution_json).where(table.trial_id.in_(trial_ids))
    with database.read() as connection:
        rows = connection.execute(chosen.order_by(table.trial_id)).all()
    return {row.param_name: distribution(row.distribution_json) for row in rows}
