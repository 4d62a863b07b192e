"""How a trial ends, in Optuna's tables."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, update

from storage import _optuna, _trial_rows
from storage.clock import utc_now

LONGEST_MESSAGE = 50_000
"""Characters kept of a message's end, where a traceback names its error."""
LONGEST_ATTRIBUTE = 65_535
"""Bytes of an attribute's JSON that every database takes into Optuna's column."""


@dataclass(frozen=True)
class Artifact:
    """A file that the dashboard shows with its trial.

    Attributes:
        artifact_id: Hexadecimal digits and ``-``; its name in the artifact store.
        filename: What it is shown as.
    """

    artifact_id: str
    filename: str
    mimetype: str


@dataclass(frozen=True)
class Ending:
    """How a trial ends.

    Attributes:
        state: COMPLETE, PRUNED or FAIL.
        values: The objectives' values, none of them NaN; at least one for a complete trial, empty for a failed one.
        attributes: User attributes, JSON-able, each at most 65,535 bytes as JSON.
        failure: The class of the failure, or None.
        message: Its traceback or reason.
        weights: Where the best weights lie, or None.
        constraints: Optuna's, by name; one above 0 tells samplers that the parameters cannot be used.
        artifacts: Files that belong to the trial.
    """

    state: TrialState
    values: tuple[float, ...] = ()
    attributes: Mapping[str, Any] | None = None
    failure: str | None = None
    message: str | None = None
    weights: str | None = None
    constraints: Mapping[str, float] | None = None
    artifacts: Sequence[Artifact] = ()

    def __post_init__(self) -> None:
        """Refuse what a stock Optuna could not read.

        Raises:
            ValueError: The values do not fit the state, or an attribute is too long.
        """
        if not self.state.is_finished():
            raise ValueError(f"a trial ends as COMPLETE, PRUNED or FAIL, not {self.state.name}")
        if any(math.isnan(value) for value in self.values):
            raise ValueError(f"values {self.values} contain NaN, which no sampler can use: end the trial as FAIL")
        if bool(self.values) != (self.state is TrialState.COMPLETE) and self.state is not TrialState.PRUNED:
            raise ValueError(f"a trial that ends as {self.state.name} cannot have values {self.values}")
        for key, value in (self.attributes or {}).items():
            size = len(json.dumps(value))
            if size > LONGEST_ATTRIBUTE:
                raise ValueError(
                    f"attribute {key!r} has {size} bytes as JSON; at most {LONGEST_ATTRIBUTE} are accepted"
                )


def end_trial(connection: Connection, trial_id: int, ending: Ending) -> bool:
    """Write a running trial's end to Optuna's tables; False, and nothing, if another program has ended it already."""
    trials = _optuna.TRIALS
    running = (trials.c.trial_id == trial_id) & (trials.c.state == TrialState.RUNNING)
    ended = update(trials).where(running).values(state=ending.state, datetime_complete=utc_now())
    if not connection.execute(ended).rowcount:
        return False
    _trial_rows.set_attributes(connection, _optuna.TRIAL_USER_ATTRIBUTES, trial_id, ending.attributes or {})
    system: dict[str, Any] = {_optuna.constraint_key(name): x for name, x in (ending.constraints or {}).items()}
    for artifact in ending.artifacts:
        system[_optuna.artifact_key(artifact.artifact_id)] = json.dumps(asdict(artifact) | {"encoding": None})
    _trial_rows.set_attributes(connection, _optuna.TRIAL_SYSTEM_ATTRIBUTES, trial_id, system)
    _trial_rows.set_values(connection, trial_id, [float(value) for value in ending.values])
    return True


def storable(message: str | None) -> str | None:
    """A message as every database takes it: no NUL (PostgreSQL), no lone surrogate (UTF-8), not endless."""
    if message is None:
        return None
    return message[-LONGEST_MESSAGE:].replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
