"""What a confirmation has found: each retrained leader's mean, and how optimistic the search's own number was."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna.trial import TrialState

from objectives._task import Direction
from storage.database import Database
from storage.history import TrialRow, read_trials
from storage.retrainings import CONFIRMS
from storage.trial_details import find_trials
from study.confirmation.link import find_confirmation
from study.confirmation.statistics import Estimate, average, estimate, optimism, probability_best
from study.stored import StoredStudy


@dataclass(frozen=True)
class Leader:
    """One retrained trial of the search.

    Attributes:
        number: Its number in the search.
        searched: The search's own value.
        retrained: How often it was, or is to be, trained again.
        values: Those of the retrainings that count, in order: they ended with a finite value.
        failures: Retrainings that ended otherwise, by class; they do not count.
        estimate: Of the mean of `values`.
        probability_best: That its mean is the best of all; None where that cannot be told.
        optimism: How much better the search's own value is than the mean; its error is the mean's. None without one.
    """

    number: int
    searched: float
    retrained: int
    values: Sequence[float]
    failures: Mapping[str, int]
    estimate: Estimate
    probability_best: float | None
    optimism: float | None

    @property
    def sound(self) -> bool:
        """Whether more than half of its retrainings count: what fails as often as not shall not win."""
        return 2 * len(self.values) > self.retrained

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "trial": self.number,
            "searched": self.searched,
            "retrained": self.retrained,
            "counted": len(self.values),
            "values": list(self.values),
            "failures": dict(self.failures),
            "mean": self.estimate.mean,
            "standard_deviation": self.estimate.deviation,
            "standard_error": self.estimate.error,
            "interval": None if self.estimate.interval is None else list(self.estimate.interval),
            "probability_best": self.probability_best,
            "optimism": self.optimism,
        }


@dataclass(frozen=True)
class Confirmation:
    """A confirmation as it stands.

    Attributes:
        name: Of the confirmation's own study.
        leaders: By the mean of their retrainings, best first; those without any last.
        open: Retrainings that have not ended.
        ended_at: When the last one ended, UTC; None before any has.
    """

    name: str
    confirms: str
    metric: str
    direction: Direction
    leaders: Sequence[Leader]
    open: int
    ended_at: datetime | None

    @property
    def winner(self) -> Leader | None:
        """The leader with the best mean, of those whose retrainings mostly count; None while some have not ended."""
        return None if self.open else next((leader for leader in self.leaders if leader.sound), None)

    @property
    def optimism(self) -> tuple[float, float] | None:
        """By how much the search's own values are too good, on average over the leaders, and its standard error."""
        known = [(leader.optimism, leader.estimate.error) for leader in self.leaders]
        both = [(value, error) for value, error in known if value is not None and error is not None]
        return average([value for value, _ in both], [error for _, error in both]) if both else None

    def leader(self, number: int) -> Leader | None:
        """The trial of that number in the search, if it was retrained."""
        return next((leader for leader in self.leaders if leader.number == number), None)

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "study": self.name,
            "confirms": self.confirms,
            "metric": self.metric,
            "direction": self.direction,
            "open": self.open,
            "ended_at": None if self.ended_at is None else self.ended_at.isoformat(),
            "winner": None if self.winner is None else self.winner.number,
            "optimism": None if self.optimism is None else list(self.optimism),
            "leaders": [leader.to_json() for leader in self.leaders],
        }


def read_confirmation(database: Database, stored: StoredStudy) -> Confirmation | None:
    """The confirmation of a study, or None if it has none."""
    record = find_confirmation(database, stored.record)
    if record is None:
        return None
    rows = read_trials(database, record.study_id)
    groups = _by_leader(rows)
    ids = find_trials(database, stored.study_id, list(groups))
    searched = {row.number: row.value for row in read_trials(database, stored.study_id, list(ids.values()))}
    chances = probability_best([_values(group) for group in groups.values()], stored.direction)
    leaders = [
        _leader(number, searched.get(number), group, chance, stored.direction)
        for (number, group), chance in zip(groups.items(), chances, strict=True)
    ]
    ended = [row.ended_at for group in groups.values() for row in group if row.ended_at is not None]
    return Confirmation(
        name=record.name,
        confirms=stored.name,
        metric=stored.metric,
        direction=stored.direction,
        leaders=sorted(leaders, key=lambda leader: _rank(leader, stored.direction)),
        open=sum(not row.state.is_finished() for group in groups.values() for row in group),
        ended_at=max(ended, default=None),
    )


def _by_leader(rows: Sequence[TrialRow]) -> dict[int, list[TrialRow]]:
    """Retrainings by the number of the trial that they train again; of one that was retried the last try."""
    first: dict[int, int] = {}
    latest: dict[int, TrialRow] = {}
    for row in rows:  # by number: what is retried comes before its retry
        first[row.number] = first.get(row.attributes.get("retry_of", row.number), row.number)
        latest[first[row.number]] = row
    groups: dict[int, list[TrialRow]] = {}
    for row in rows:
        if CONFIRMS in row.attributes:
            groups.setdefault(int(row.attributes[CONFIRMS]), []).append(latest[row.number])
    return groups


def _values(rows: Sequence[TrialRow]) -> list[float]:
    complete = [row.value for row in rows if row.state is TrialState.COMPLETE and row.value is not None]
    return [value for value in complete if math.isfinite(value)]


def _leader(
    number: int, searched: float | None, rows: Sequence[TrialRow], chance: float | None, direction: Direction
) -> Leader:
    values = _values(rows)
    found = estimate(values)
    value = math.nan if searched is None else searched
    failed = [row for row in rows if row.state.is_finished() and row.state is not TrialState.COMPLETE]
    return Leader(
        number=number,
        searched=value,
        retrained=len(rows),
        values=values,
        failures=dict(Counter(row.failure or row.state.name for row in failed)),
        estimate=found,
        probability_best=chance,
        optimism=optimism(value, found, direction),
    )


def _rank(leader: Leader, direction: Direction) -> tuple[bool, float, int]:
    mean = leader.estimate.mean
    signed = 0.0 if mean is None else -mean if direction == "maximize" else mean
    return mean is None, signed, leader.number
