"""What `timed_family.py` and `timed_agent.py` have noted, cut into trials and parts."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

Note = dict[str, Any]


def read_notes(path: Path) -> list[Note]:
    """All whole lines so far, in order of time."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return sorted((json.loads(line) for line in lines), key=lambda note: note.get("at", note.get("begin", 0.0)))


@dataclass
class Noted:
    """One trial of one process; moments in seconds.

    Attributes:
        build: The note of its build.
        built: When its network was there.
        epochs: First step's begin and last validation batch's end of each epoch.
        steps: When each training step began.
        messages: Moments by what was sent or has come, the last of each kind.
    """

    build: Note
    built: float = 0.0
    epochs: list[tuple[float, float]] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    messages: dict[str, float] = field(default_factory=dict)

    @property
    def begin(self) -> float:
        """The first step."""
        return self.epochs[0][0]

    @property
    def end(self) -> float:
        """The last validation batch."""
        return self.epochs[-1][1]

    @property
    def pauses(self) -> list[float]:
        """Seconds between two epochs."""
        return [later[0] - earlier[1] for earlier, later in pairwise(self.epochs)]


def trials_of(notes: Iterable[Note]) -> list[Noted]:
    """The trials of one process, in order; one that was not trained is left out."""
    trials: list[Noted] = []
    training = False
    for note in notes:
        what, at = note["what"], note["at"]
        if what == "build":
            trials.append(Noted(note))
            training = False
        elif not trials:
            continue
        elif what == "built":
            trials[-1].built = at
        elif what == "train":
            trials[-1].steps.append(at)
            if not training:
                trials[-1].epochs.append((at, at))
            training = True
        elif what == "validated":
            trials[-1].epochs[-1] = (trials[-1].epochs[-1][0], at)
            training = False
        else:
            trials[-1].messages[what] = at
    return [trial for trial in trials if trial.epochs]


def spent(steps: Iterable[Note], what: str, begin: float, end: float) -> float:
    """Seconds of an agent's steps of one kind that began within a time."""
    return sum(s["end"] - s["begin"] for s in steps if s["what"] == what and begin <= s["begin"] < end)


@dataclass(frozen=True)
class Spread:
    """A distribution."""

    p50: float
    p95: float
    max: float
    min: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float], unit: float = 1.0) -> "Spread":
        """Of values, each times `unit`."""
        ordered = sorted(value * unit for value in values)
        if not ordered:
            return cls(float("nan"), float("nan"), float("nan"), float("nan"), 0)
        at_95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
        return cls(median(ordered), at_95, ordered[-1], ordered[0], len(ordered))

    def row(self, name: str) -> str:
        """A line of a table of p50, p95, max."""
        return f"  {name:52}{self.p50:9.1f}{self.p95:9.1f}{self.max:9.1f}"
