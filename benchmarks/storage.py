"""What the storage costs: stock Optuna's beside ours, on the same database and in the same run.

    python -P benchmarks/storage.py [--url sqlite:////tmp/bench.db] [--trials 10000] [--repeats 5] [--json]

A trial has 12 parameters and 20 reported epochs with successive halving on; its parameters come from a sampler that
costs nothing on both sides, so what is measured is the storage. Statements are counted by SQLAlchemy's events (a
driver's own BEGIN is none, so ours is none either), CPU by `time.process_time`. Each figure is the median of its
repeats, with the lowest and highest; the two sides take turns. The database must be empty.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner, MedianPruner, SuccessiveHalvingPruner
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial
from sqlalchemy import Engine, event

sys.path.append(str(Path(__file__).parent / "common"))
from storage_trials import DISTRIBUTIONS, EPOCHS, FreeSampler, Ours, new_study, sqlalchemy_url, stock_trial

from storage import _trial_rows
from storage.database import Database
from storage.trials import open_storage
from study.pruning import OptunaPruning

TRIALS_PER_REPEAT = 10


@dataclass(frozen=True)
class Figure:
    """A median with its spread."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}–{self.high:.2f})"


def figure(values: list[float]) -> Figure:
    """Of repeats."""
    return Figure(statistics.median(values), min(values), max(values))


@contextmanager
def counted() -> Iterator[list[int]]:
    """Count the statements of every engine of this process."""
    count = [0]

    def executed(connection: object, cursor: object, statement: str, *_: object) -> None:
        count[0] += not statement.startswith(("BEGIN", "PRAGMA", "SET TRANSACTION"))

    event.listen(Engine, "before_cursor_execute", executed)
    try:
        yield count
    finally:
        event.remove(Engine, "before_cursor_execute", executed)


def cpu_ms(run: Callable[[], object], times: int = 1) -> float:
    """CPU of one run, the mean of some."""
    began = time.process_time()
    for _ in range(times):
        run()
    return 1000 * (time.process_time() - began) / times


def statements(run: Callable[[], object]) -> int:
    """Of one run."""
    run()
    with counted() as count:
        run()
    return count[0]


def in_turn(runs: dict[str, Callable[[], float]], repeats: int) -> dict[str, Figure]:
    """Measure the sides alternately."""
    found: dict[str, list[float]] = {side: [] for side in runs}
    for _ in range(repeats):
        for side, run in runs.items():
            found[side].append(run())
    return {side: figure(values) for side, values in found.items()}


def stock_study(url: str, pruner: BasePruner | None = None) -> optuna.Study:
    """Opened by plain Optuna."""
    return optuna.load_study(
        study_name="bench",
        storage=RDBStorage(sqlalchemy_url(url)),
        sampler=FreeSampler(),
        pruner=pruner or SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
    )


def trial_cost(url: str, repeats: int) -> dict[str, Any]:
    """Statements and CPU of one trial."""
    stock, ours = stock_study(url), Ours(url)
    sides = {"stock": lambda: stock_trial(stock), "ours": ours.trial}
    counts = {side: statements(run) for side, run in sides.items()}
    cpu = in_turn({side: lambda run=run: cpu_ms(run, TRIALS_PER_REPEAT) for side, run in sides.items()}, repeats)
    return {"statements": counts, "cpu": cpu}


def decision_cost(url: str, repeats: int) -> dict[str, Any]:
    """CPU and statements of one pruning decision at the first rung, of halving and of Optuna's median pruner."""
    found: dict[str, Any] = {}
    ours = Ours(url)
    claim = ours.claimed()
    ours.epoch(claim, 1)  # reads what is there, once

    def our_halving() -> None:
        with ours.database.read() as connection:
            ours.rungs.read(connection)
        standing = ours.rungs.standing(1, claim.trial_id, 0.5)
        ours.halving.stops(0.5, standing.others, standing.higher)

    median = OptunaPruning(MedianPruner(), ours.storage, "bench", EPOCHS)
    reading = median.reading(1)
    assert reading is not None

    def our_median() -> None:
        with ours.database.read() as connection:
            reading(connection)
        median.stops(claim, 1, 0.5)

    for name, pruner in (("halving", None), ("median pruner", MedianPruner())):
        study = stock_study(url, pruner)
        trial = study.ask()
        trial.report(0.5, 1)
        if name == "halving":  # it notes the rung it has passed: a trial of its own for each decision

            def stock(study: optuna.Study = study) -> None:
                fresh = study.ask()
                fresh.report(0.5, 1)
                fresh.should_prune()

            def undecided(study: optuna.Study = study) -> None:
                study.ask().report(0.5, 1)

            sides = {"stock": lambda: cpu_ms(stock, 5) - cpu_ms(undecided, 5), "ours": lambda: cpu_ms(our_halving, 5)}
            counts = {"stock": statements(stock) - statements(undecided), "ours": statements(our_halving)}
        else:
            sides = {"stock": lambda t=trial: cpu_ms(t.should_prune, 5), "ours": lambda: cpu_ms(our_median, 5)}
            counts = {"stock": statements(trial.should_prune), "ours": statements(our_median)}
        found[name] = {"statements": counts, "cpu": in_turn(sides, repeats)}
    return found


def fill(url: str, trials: int) -> None:
    """Add finished trials in one transaction."""
    row = create_trial(
        state=TrialState.COMPLETE,
        value=-1.0,
        params=dict.fromkeys(DISTRIBUTIONS, 0.5),
        distributions=DISTRIBUTIONS,
        intermediate_values=dict.fromkeys(range(1, EPOCHS + 1), -1.0),
    )
    storage = open_storage(url)
    study_id = storage.get_study_id_from_name("bench")
    with storage.database.write() as connection:
        for _ in range(trials):
            _trial_rows.create(connection, study_id, row)
    storage.close()


COLD = """
import json, time
import optuna, psutil
optuna.logging.set_verbosity(optuna.logging.ERROR)
{opening}
process = psutil.Process()
memory, began = process.memory_info().rss, time.process_time()
trials = storage.get_all_trials(storage.get_study_id_from_name("bench"), deepcopy=False)
print(json.dumps([time.process_time() - began, (process.memory_info().rss - memory) / 2**20]))
"""
OPENINGS = {
    "stock": "from optuna.storages import get_storage; storage = get_storage({url!r})",
    "ours": "from storage.trials import open_storage; storage = open_storage({url!r})",
}


def cold(url: str, repeats: int) -> dict[str, dict[str, Figure]]:
    """CPU seconds and megabytes for which a new process reads all trials."""
    found: dict[str, list[tuple[float, float]]] = {side: [] for side in OPENINGS}
    for _ in range(repeats):
        for side, opening in OPENINGS.items():
            code = COLD.format(opening=opening.format(url=sqlalchemy_url(url) if side == "stock" else url))
            done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
            found[side].append(tuple(json.loads(done.stdout)))
    return {
        what: {side: figure([pair[part] for pair in pairs]) for side, pairs in found.items()}
        for part, what in enumerate(("s", "MB"))
    }


def bench(url: str, trials: int, repeats: int) -> list[tuple[str, Any, Any]]:
    """Rows: what, stock, ours."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    new_study(url, "bench")
    rows: list[tuple[str, Any, Any]] = []

    def add(what: str, sides: dict[str, Any]) -> None:
        rows.append((what, sides["stock"], sides["ours"]))

    for when in ("empty study", f"{trials:,} trials"):
        cost = trial_cost(url, repeats)
        add(f"SQL statements of one trial, {when}", cost["statements"])
        add(f"CPU of one trial, {when}, ms", cost["cpu"])
        for name, decision in decision_cost(url, repeats).items():
            add(f"SQL statements of a decision, {name}, {when}", decision["statements"])
            add(f"CPU of a decision, {name}, {when}, ms", decision["cpu"])
        if when == "empty study":
            fill(url, trials)
    for what, sides in cold(url, min(repeats, 3)).items():
        add(f"a new process reads {trials:,} trials, {'CPU ' if what == 's' else ''}{what}", sides)
    return rows


def plain(value: Any) -> float:
    """The figure itself."""
    return float(value.median if isinstance(value, Figure) else value)


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="an empty database of its own; by default an SQLite file in a temporary folder")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = given.url or f"sqlite:///{Path(folder) / 'bench.db'}"
        rows = bench(url, given.trials, given.repeats)
        kind = Database(url).url.get_backend_name()
    if given.json:
        print(json.dumps([[what, plain(stock), plain(ours)] for what, stock, ours in rows], indent=2))
        return
    print(f"| {kind} | stock | ours | ratio |\n|---|---|---|---|")
    for what, stock, ours in rows:
        print(f"| {what} | {stock} | {ours} | {plain(stock) / max(plain(ours), 1e-9):.1f} |")


if __name__ == "__main__":
    main()
