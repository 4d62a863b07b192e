"""A study's search space changes: its configuration and what its trials have stored, in one transaction."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import FrozenTrial
from sqlalchemy import Connection, insert, select, update

from storage import _optuna
from storage._operations import new_token, once
from storage._rows import read_trials
from storage._upsert import upsert
from storage.clock import utc_now
from storage.database import Database, retried
from storage.errors import ConfigError
from storage.studies import Change, StudyRecord
from storage.tables import AGENTS, ATTEMPTS, CHANGES, STUDIES

Parameters = Mapping[str, tuple[float, BaseDistribution]]
"""Internal value and distribution by name, as Optuna's tables hold them."""
Rewrite = Callable[[Sequence[FrozenTrial], Collection[int]], Mapping[int, Parameters]]
"""From all trials, and the ids of those that our claims have started, what is to be stored, by id."""


@retried
def preview(database: Database, study_id: int, rewrite: Rewrite) -> Mapping[int, Parameters]:
    """What a rewrite would store, now."""
    with database.read() as connection:
        return rewrite(*_trials(connection, study_id))


def change_space(
    database: Database,
    study: StudyRecord,
    space: Mapping[str, Any],
    changes: Sequence[Change],
    rewrite: Rewrite,
    *,
    goal_reached: str | None,
    alive_s: float,
    changed_by: str,
) -> int:
    """Store another space and rewrite the parameters of trials; the number of trials that were rewritten.

    One transaction under the study row's lock, which agents take too when they register: none can begin meanwhile.

    Args:
        study: As last read; it must not have changed since.
        goal_reached: Why no more trials are needed, or None.
        alive_s: Seconds of silence after which an agent counts as gone.

    Raises:
        ConfigError: An agent is at work, or the study was changed or deleted meanwhile; nothing has changed.
    """
    configured = {"config": json.dumps({**study.config, "space": space}), "goal_reached": goal_reached}
    return _change_space(database, study, configured, changes, rewrite, alive_s, changed_by[:255], new_token())


@retried
def _change_space(
    database: Database,
    study: StudyRecord,
    configured: Mapping[str, Any],
    changes: Sequence[Change],
    rewrite: Rewrite,
    alive_s: float,
    changed_by: str,
    token: str,
) -> int:
    def work() -> int:
        _check(connection, study, alive_s)
        rewritten = rewrite(*_trials(connection, study.study_id))
        _store(connection, rewritten)
        connection.execute(update(STUDIES).where(STUDIES.c.study_id == study.study_id).values(configured))
        for change in changes:
            what = {"key": change.key[:255], "old": json.dumps(change.old), "new": json.dumps(change.new)}
            who = {"study_id": study.study_id, "changed_by": changed_by, "changed_at": utc_now()}
            connection.execute(insert(CHANGES).values(**who, **what))
        return len(rewritten)

    with database.write() as connection:
        done: int = once(connection, token, work)
    return done


def _check(connection: Connection, study: StudyRecord, alive_s: float) -> None:
    locked = select(STUDIES.c.config).where(STUDIES.c.study_id == study.study_id).with_for_update()
    config = connection.scalar(locked)
    if config is None or json.loads(config) != study.config:
        raise ConfigError(f"study {study.name!r} was changed by somebody else at this moment; look at it and try again")
    at_work = (AGENTS.c.study_id == study.study_id) & AGENTS.c.alive & (AGENTS.c.seen_at > utc_now(-alive_s))
    hosts = sorted(set(connection.scalars(select(AGENTS.c.host).where(at_work))))
    if hosts:
        raise ConfigError(
            f"study {study.name!r} has agents at work on {', '.join(hosts)}, which hold its space: end them "
            f"with `studyhall stop {study.name}`, and try again; one that was killed counts as alive for {alive_s:g} s"
        )


def _trials(connection: Connection, study_id: int) -> tuple[list[FrozenTrial], set[int]]:
    ours = select(ATTEMPTS.c.trial_id).where(ATTEMPTS.c.study_id == study_id).distinct()
    return read_trials(connection, study_id), set(connection.scalars(ours))


def _store(connection: Connection, rewritten: Mapping[int, Parameters]) -> None:
    rows = [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": value,
            "distribution_json": distribution_to_json(kind),
        }
        for trial_id, parameters in rewritten.items()
        for name, (value, kind) in parameters.items()
    ]
    key, change = ("trial_id", "param_name"), ("param_value", "distribution_json")
    upsert(connection, _optuna.TRIAL_PARAMS, rows, key=key, change=change)
