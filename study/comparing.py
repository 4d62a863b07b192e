"""Studies side by side: what they reached, what it cost, and in what they differ."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from storage.database import Database
from storage.errors import StudyMissing
from storage.history import TrialRow
from storage.studies import list_studies
from study._best import best_so_far, in_order, trained_epochs
from study._objectives import Objective
from study.config import flatten
from study.stored import StoredStudy, decoded
from study.summary import Summary, summarise, trial_json

NAMES = ("study.name",)
"""Keys in which studies always differ."""


@dataclass(frozen=True)
class Curve:
    """The best value as trials ended, one point per trial.

    Attributes:
        trials: That had ended, from 1.
        epochs: That those had trained together.
        seconds: From the first trial's begin to this one's end, pauses included.
        best: Of complete trials; NaN before the first.
    """

    trials: Sequence[int]
    epochs: Sequence[int]
    seconds: Sequence[float]
    best: Sequence[float]


@dataclass(frozen=True)
class Compared:
    """One of the studies.

    Attributes:
        test: The best trial's metric on the test events, or None while they are not opened for it.
        counts: Trials by state.
        failures: Failed trials by class.
        epochs: That all trials have trained.
        wall_s: From the first trial's begin to the last one's end; 0 before any has ended.
        rate: Trials ended per hour of that time, or None.
        config: Its leaves by dotted key.
        fingerprint: Tells whether other data hold the same events.
        further: Objectives beside the first.
    """

    name: str
    state: str
    metric: str
    direction: str
    best: TrialRow | None
    test: float | None
    counts: Mapping[str, int]
    failures: Mapping[str, int]
    device_seconds: float
    epochs: int
    wall_s: float
    rate: float | None
    curve: Curve
    config: Mapping[str, Any]
    fingerprint: Mapping[str, Any]
    further: Sequence[Objective] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        plain = ("name", "state", "metric", "direction", "test", "counts", "failures", "device_seconds", "epochs")
        curve = {key: list(getattr(self.curve, key)) for key in ("trials", "epochs", "seconds", "best")}
        tree = {key: getattr(self, key) for key in (*plain, "wall_s", "rate")}
        return tree | {"best": trial_json(self.best) if self.best else None, "curve": curve}


@dataclass(frozen=True)
class Comparison:
    """Studies of one database.

    Attributes:
        differences: Values by study, in their order, of each configuration key in which they differ; a key that a
            study does not have is missing from its configuration, and None here.
        warnings: Why their values must not be compared.
    """

    studies: Sequence[Compared]
    differences: Mapping[str, Sequence[Any]]
    warnings: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "studies": [study.to_json() for study in self.studies],
            "differences": {key: list(values) for key, values in self.differences.items()},
            "warnings": list(self.warnings),
        }


def compare(database: Database, names: Sequence[str]) -> Comparison:
    """Compare studies of a database; a name given twice counts once.

    Raises:
        StudyMissing: There is none of one of the names; the message lists those there are.
    """
    records = {record.name: record for record in list_studies(database)}
    missing = [repr(name) for name in names if name not in records]
    if missing:
        known = ", ".join(map(repr, sorted(records))) or "none"
        raise StudyMissing(f"no study {', '.join(missing)} in {database.name}; known are: {known}")
    stored = [decoded(records[name]) for name in dict.fromkeys(names)]
    return comparison([compared(one, summarise(database, one)) for one in stored])


def comparison(studies: Sequence[Compared]) -> Comparison:
    """What follows from the studies together."""
    return Comparison(studies, _differences([study.config for study in studies]), _warnings(studies))


def compared(stored: StoredStudy, summary: Summary) -> Compared:
    """A study's numbers."""
    curve = curve_of(summary.trials, summary.direction)
    wall_s = curve.seconds[-1] if curve.seconds else 0.0
    return Compared(
        name=summary.name,
        state=summary.state,
        metric=summary.metric,
        direction=summary.direction,
        further=summary.objectives[1:],
        best=summary.best,
        test=summary.test,
        counts=summary.counts,
        failures=summary.failures,
        device_seconds=summary.device_seconds,
        epochs=sum(trained_epochs(trial) for trial in summary.trials if trial.ours),
        wall_s=wall_s,
        rate=3600 * len(curve.trials) / wall_s if wall_s > 0 else None,
        curve=curve,
        config=flatten(stored.config.to_json()),
        fingerprint=stored.facts.fingerprint,
    )


def curve_of(trials: Sequence[TrialRow], direction: str) -> Curve:
    """The best value of the trials that have ended."""
    ended = in_order(trials)
    begun = min((trial.started_at for trial in trials if trial.ours and trial.started_at is not None), default=None)
    seconds = [(t.ended_at - begun).total_seconds() for t in ended if t.ended_at is not None and begun is not None]
    if len(seconds) < len(ended):  # Optuna lets other programs end a trial that never began
        seconds = [math.nan] * len(ended)
    return Curve(
        trials=range(1, len(ended) + 1),
        epochs=list(accumulate(trained_epochs(trial) for trial in ended)),
        seconds=seconds,
        best=best_so_far(ended, direction),
    )


def _differences(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    keys = sorted({key for config in configs for key in config} - {*NAMES})
    table = {key: [config.get(key) for config in configs] for key in keys}
    return {key: values for key, values in table.items() if any(value != values[0] for value in values)}


def _objectives(study: Compared) -> str:
    first = f"{study.direction} {study.metric}"
    return ", ".join([first, *(f"{each.direction} {each.name}" for each in study.further)])


def _warnings(studies: Sequence[Compared]) -> list[str]:
    found = []
    metrics = {study.name: _objectives(study) for study in studies}
    if len({*metrics.values()}) > 1:
        listed = ", ".join(f"{name}: {metric}" for name, metric in metrics.items())
        found.append(f"the studies have different metrics ({listed}): their values cannot be compared")
    first = studies[0]
    for other in studies[1:]:
        keys = {*first.fingerprint, *other.fingerprint}
        differing = sorted(key for key in keys if first.fingerprint.get(key) != other.fingerprint.get(key))
        if differing:
            found.append(
                f"{first.name} and {other.name} have different data ({', '.join(differing)} differ): "
                "their values cannot be compared"
            )
    if _splits_differ(studies):
        found.append("the studies split or select their events differently: they are judged by different events")
    return found


def _splits_differ(studies: Sequence[Compared]) -> bool:
    """Whether the events that give the metric are others, although the data are the same."""
    chosen = [
        {key: value for key, value in study.config.items() if key.startswith(("data.split.", "data.select"))}
        for study in studies
    ]
    return any(other != chosen[0] for other in chosen)
