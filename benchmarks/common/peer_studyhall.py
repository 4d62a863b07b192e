"""Studyhall as a user runs it: a study file, `launch`, `export`; and its record, read from its database.

The database has no times of epochs. A thread looks at it twenty times a second over a read-only connection, which does
not hold up a writer of a database in write-ahead logging.
"""

import json
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import yaml
from peer_record import Ended, Epoch, Record, in_order
from peer_space import study_tree

LOOK_S = 0.05
WORKERS = 2
STUDYHALL = [sys.executable, "-m", "study"]
EPOCHS = """
    SELECT v.trial_intermediate_value_id, t.number, v.step, v.intermediate_value
    FROM trial_intermediate_values v JOIN trials t ON t.trial_id = v.trial_id
    WHERE v.trial_intermediate_value_id > ? ORDER BY v.trial_intermediate_value_id"""
ENDS = "SELECT number, state FROM trials WHERE state IN ('COMPLETE', 'PRUNED', 'FAIL')"


def write_study(run: Path, data: Path, search: dict[str, Any] | None, *, seed: int, trials: int, epochs: int) -> None:
    """Write the study file."""
    events = json.loads((data / "data.json").read_text(encoding="utf-8"))["path"]
    tree = study_tree(events, seed=seed, trials=trials, epochs=epochs, search=search)
    (run / "study.yaml").write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")


def launch_command(run: Path) -> list[str]:
    """What the user types."""
    launch = ["launch", str(run / "study.yaml"), "--workers", str(WORKERS), "--devices", "cpu"]
    return [*STUDYHALL, *launch, "--storage", _url(run)]


def test_accuracy(run: Path) -> float:
    """Of the exported best trial on the test events."""
    export = [*STUDYHALL, "export", "peer", "--to", str(run / "best"), "--storage", _url(run)]
    subprocess.run(export, check=True, stdout=subprocess.DEVNULL)
    metrics = json.loads((run / "best" / "metrics.json").read_text(encoding="utf-8"))
    return float(metrics["test"]["accuracy"])


def _url(run: Path) -> str:
    return f"sqlite:///{run / 'studyhall.db'}"


class Watcher(threading.Thread):
    """Notes when each epoch and each end of a trial appears in the database."""

    def __init__(self, run: Path) -> None:
        super().__init__(daemon=True)
        self._path = run / "studyhall.db"
        self._told = threading.Event()
        self._connection: sqlite3.Connection | None = None
        self._last = 0
        self._epochs: list[Epoch] = []
        self._ends: dict[int, Ended] = {}

    def run(self) -> None:
        """Until told to stop, and once more."""
        told = False
        while not told:
            told = self._told.wait(LOOK_S)
            try:
                self._look()
            except sqlite3.OperationalError:  # no file, no table yet, or it is being created
                self._close()
        self._close()

    def stop(self, start: float) -> Record:
        """The record, from the moment `start` at which the system was started."""
        self._told.set()
        self.join()
        epochs = [Epoch(epoch.at - start, epoch.trial, epoch.epoch, epoch.value) for epoch in self._epochs]
        return in_order(epochs, [Ended(end.at - start, end.trial, end.state) for end in self._ends.values()])

    def _look(self) -> None:
        if self._connection is None:
            self._connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=1)
        now = time.time()
        for row, trial, epoch, value in self._connection.execute(EPOCHS, (self._last,)).fetchall():
            self._last = row
            self._epochs.append(Epoch(now, trial, epoch, value))
        for trial, state in self._connection.execute(ENDS).fetchall():
            self._ends.setdefault(trial, Ended(now, trial, state.lower()))

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
