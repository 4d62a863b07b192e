"""Trials that wait at a rung: paused with a checkpoint, then taken up again or given up.

A paused trial is RUNNING in Optuna's tables; its last attempt has the state PAUSED and keeps the trial's end as it was
at the rung, which is written when the trial is given up.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, String, func, select, type_coerce, update

from storage import _optuna
from storage._fence import write_fenced
from storage.attempts import Claim, Read
from storage.database import Database, retried
from storage.endings import Artifact, Ending, end_trial
from storage.epochs import Epoch, add_epochs
from storage.errors import LeaseLost
from storage.tables import AGENTS, ATTEMPTS, WORKERS, AttemptState


@dataclass(frozen=True)
class PausedTrial:
    """One that waits.

    Attributes:
        epoch: The last one reported: its rung.
        value: That of this epoch.
    """

    trial_id: int
    number: int
    epoch: int
    value: float


@retried
def pause(database: Database, claim: Claim, place: str, ending: Ending, epochs: Sequence[Epoch] = ()) -> None:
    """Let a trial wait, and its device go.

    Args:
        place: Its checkpoint.
        ending: How it ends if it is given up: as PRUNED.
        epochs: Results of epochs that are not written yet.

    Raises:
        LeaseLost: Somebody else has taken over the trial.
    """
    with database.write() as connection:
        waits = {"state": AttemptState.PAUSED, "checkpoint": place, "message": _written(ending)}
        if not write_fenced(connection, claim.token, waits, ends=True):
            if _state(connection, claim.token) is AttemptState.PAUSED:  # an earlier try, whose COMMIT was not answered
                return
            raise LeaseLost(f"trial {claim.number}, attempt {claim.attempt}: another agent has taken it over")
        add_epochs(connection, claim, epochs)


def _state(connection: Connection, token: str) -> AttemptState | None:
    return connection.scalar(select(ATTEMPTS.c.state).where(ATTEMPTS.c.token == token))


@retried
def look(database: Database, read: Read) -> None:
    """Read in a transaction what the caller needs."""
    with database.read() as connection:
        read(connection)


def read_paused(connection: Connection, study_id: int) -> list[PausedTrial]:
    """The study's trials that wait, by number."""
    trials, values = _optuna.TRIALS, _optuna.INTERMEDIATE_VALUES
    waits = (ATTEMPTS.c.study_id == study_id) & (ATTEMPTS.c.state == AttemptState.PAUSED)
    every = values.alias()
    last = select(func.max(every.c.step)).where(every.c.trial_id == trials.c.trial_id).scalar_subquery()
    rows = connection.execute(
        select(trials.c.trial_id, trials.c.number, values.c.step, values.c.intermediate_value)
        .add_columns(type_coerce(values.c.intermediate_value_type, String).label("kind"))
        .join(ATTEMPTS, ATTEMPTS.c.trial_id == trials.c.trial_id)
        .join(values, values.c.trial_id == trials.c.trial_id)
        .where(waits, values.c.step == last)
        .order_by(trials.c.number)
    )
    return [PausedTrial(row[0], row[1], row[2], _optuna.decoded(row[3], row[4])) for row in rows]


def count_workers(connection: Connection, study_id: int) -> int:
    """Worker slots of the study's agents that live."""
    mine = (AGENTS.c.study_id == study_id) & AGENTS.c.alive
    counted = select(func.count()).select_from(WORKERS.join(AGENTS, AGENTS.c.agent_id == WORKERS.c.agent_id))
    return connection.scalar(counted.where(mine)) or 0


def promoted(connection: Connection, trial_ids: Iterable[int]) -> bool:
    """Let the first of these trials that still waits be taken up, under the lock of the study's row; whether one is."""
    goes_on = {"state": AttemptState.INTERRUPTED, "failure": "paused", "message": None}
    return any(
        connection.execute(update(ATTEMPTS).where(_waits(trial_id)).values(goes_on)).rowcount for trial_id in trial_ids
    )


@retried
def give_up(database: Database, study_id: int, trial_ids: Sequence[int] | None = None) -> list[int]:
    """End trials that wait, as PRUNED; their numbers.

    Args:
        trial_ids: None means all of the study.
    """
    with database.write() as connection:
        return end_paused(connection, study_id, trial_ids)


def end_paused(connection: Connection, study_id: int, trial_ids: Sequence[int] | None = None) -> list[int]:
    """As `give_up`, inside a transaction."""
    ended = []
    for trial in read_paused(connection, study_id):
        if trial_ids is not None and trial.trial_id not in trial_ids:
            continue
        message = connection.scalar(select(ATTEMPTS.c.message).where(_waits(trial.trial_id)))
        over = {"state": AttemptState.FINISHED, "message": None}
        if connection.execute(update(ATTEMPTS).where(_waits(trial.trial_id)).values(over)).rowcount:
            end_trial(connection, trial.trial_id, _read(message))
            ended.append(trial.number)
    return ended


def _waits(trial_id: int) -> Any:
    return (ATTEMPTS.c.trial_id == trial_id) & (ATTEMPTS.c.state == AttemptState.PAUSED)


def _written(ending: Ending) -> str:
    return json.dumps(asdict(replace(ending, state=TrialState.PRUNED)) | {"state": TrialState.PRUNED.name})


def _read(text: str | None) -> Ending:
    if text is None:  # nobody else writes it, but a database may have been mended by hand
        return Ending(TrialState.PRUNED)
    tree = json.loads(text)
    tree["artifacts"] = tuple(Artifact(**artifact) for artifact in tree["artifacts"])
    return Ending(**tree | {"state": TrialState.PRUNED, "values": tuple(tree["values"])})
