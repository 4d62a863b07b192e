"""The record that every system writes: one line of JSON per epoch and per end of a trial, with the time."""

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Epoch:
    """One epoch of one trial.

    Attributes:
        at: seconds since the system was started.
        epoch: from 1.
        value: accuracy on the validation events.
        process: the process that trained it; 0 where unknown.
    """

    at: float
    trial: int
    epoch: int
    value: float
    process: int = 0


@dataclass(frozen=True)
class Ended:
    """The end of a trial; `state` is complete, pruned or fail, and `at` seconds since the system was started."""

    at: float
    trial: int
    state: str


@dataclass(frozen=True)
class Record:
    """All epochs and ends of one run, in the order of time."""

    epochs: list[Epoch]
    ends: list[Ended]

    @property
    def best(self) -> float:
        """The best value of any epoch."""
        return max((epoch.value for epoch in self.epochs), default=0.0)

    @property
    def processes(self) -> int:
        """How many processes trained; 0 where unknown."""
        return len({epoch.process for epoch in self.epochs if epoch.process})

    def reached(self, value: float) -> float:
        """Seconds until an epoch had the value or more.

        Raises:
            ValueError: none had.
        """
        for epoch in self.epochs:
            if epoch.value >= value:
                return epoch.at
        raise ValueError(f"the value {value} was never reached; the best is {self.best}")

    def best_trial(self) -> int:
        """The complete trial with the best epoch; of equals the earliest."""
        complete = {end.trial for end in self.ends if end.state == "complete"}
        return max((epoch for epoch in self.epochs if epoch.trial in complete), key=lambda e: (e.value, -e.trial)).trial


class Log:
    """Appends lines to a file that several processes share: each is one write."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def epoch(self, trial: int, epoch: int, value: float) -> None:
        """Record an epoch."""
        self._write({"at": time.time(), "trial": trial, "epoch": epoch, "value": value, "process": os.getpid()})

    def end(self, trial: int, state: str) -> None:
        """Record a trial's end."""
        self._write({"at": time.time(), "trial": trial, "state": state})

    def _write(self, line: dict[str, Any]) -> None:
        os.write(self._file, (json.dumps(line) + "\n").encode())


def read_log(path: Path, start: float) -> Record:
    """What was logged; `start` is the moment, as `time.time()`, at which the system was started."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        line["at"] -= start
    return in_order(
        [Epoch(**line) for line in lines if "epoch" in line], [Ended(**line) for line in lines if "state" in line]
    )


def in_order(epochs: Iterable[Epoch], ends: Iterable[Ended]) -> Record:
    """A record, in the order of time."""
    return Record(sorted(epochs, key=lambda epoch: epoch.at), sorted(ends, key=lambda end: end.at))
