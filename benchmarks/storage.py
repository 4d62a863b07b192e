"""Stock Optuna's storage beside ours, on the same database and in the same run.

    python -P benchmarks/storage.py [--url sqlite:////tmp/bench.db] [--trials 10000] [--json]

Prints, for one trial of 12 parameters and 20 epochs with pruning: SQL statements, client CPU in the storage layer on an
empty study and after `--trials` finished trials, and the CPU and memory for which a new process reads those. Parameters
are drawn uniformly on both sides, at no cost to speak of.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial
from sqlalchemy import Engine, event

from storage import attempts, claims, studies
from storage._rungs import RungReader
from storage.attempts import Ending
from storage.claims import Refusal
from storage.database import Database
from storage.studies import Budget
from storage.trials import open_storage
from study._halving import Halving

PARAMETERS, EPOCHS, REPEATS = 12, 20, 15
DISTRIBUTIONS = {f"p{index}": FloatDistribution(0.0, 1.0) for index in range(PARAMETERS)}


@contextmanager
def counted() -> Iterator[list[int]]:
    """Count the statements of every engine of this process; a driver's own BEGIN is none, so ours is none either."""
    count = [0]

    def executed(connection: object, cursor: object, statement: str, *_: object) -> None:
        count[0] += not statement.startswith("BEGIN")

    event.listen(Engine, "before_cursor_execute", executed)
    try:
        yield count
    finally:
        event.remove(Engine, "before_cursor_execute", executed)


def value_at(number: int, epoch: int) -> float:
    """A curve that is never stopped by halving: later trials are better."""
    return number + epoch / 100


def stock_trial(study: optuna.Study) -> None:
    """One trial as a user of plain Optuna writes it."""
    trial = study.ask()
    for name in DISTRIBUTIONS:
        trial.suggest_float(name, 0.0, 1.0)
    for epoch in range(1, EPOCHS + 1):
        trial.report(value_at(trial.number, epoch), epoch)
        trial.should_prune()
    study.tell(trial, float(trial.number))


class Ours:
    """One trial as our agent runs it."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self.study_id = studies.load_study(self.database, "bench").study_id
        self.halving = Halving("maximize")
        rungs = self.halving.rungs(EPOCHS)
        self.rungs = RungReader(self.study_id, rungs)
        self.random = optuna.samplers.RandomSampler(seed=0)

    def trial(self) -> None:
        """Claim, sample, report, decide, finish."""
        claim = claims.claim(self.database, self.study_id, agent_id="bench", slot=0, lease_s=60.0, lost_retries=3)
        if isinstance(claim, Refusal):
            raise RuntimeError(str(claim))
        rng = self.random._rng.rng
        attempts.sample(self.database, claim, {name: (rng.uniform(), kind) for name, kind in DISTRIBUTIONS.items()})
        for epoch in range(1, EPOCHS + 1):
            value = value_at(claim.number, epoch)
            attempts.report(self.database, claim, epoch, value, 60.0)
            if epoch in self.halving.rungs(EPOCHS):
                with self.database.read() as connection:
                    self.rungs.read(connection)
                self.halving.stops(value, self.rungs.others(epoch, claim.trial_id))
        attempts.finish(self.database, claim, Ending(TrialState.COMPLETE, values=(float(claim.number),)))


def measured(run: Callable[[], None]) -> tuple[int, float]:
    """Statements of one run, and the median of its CPU in milliseconds."""
    run()
    with counted() as count:
        run()
    statements = count[0]
    spent = []
    for _ in range(REPEATS):
        began = time.process_time()
        run()
        spent.append(1000 * (time.process_time() - began))
    return statements, statistics.median(spent)


def fill(storage: Any, study_name: str, trials: int) -> None:
    """Add finished trials."""
    study = optuna.load_study(study_name=study_name, storage=storage)
    rows = [
        create_trial(
            state=TrialState.COMPLETE,
            value=-float(number),
            params=dict.fromkeys(DISTRIBUTIONS, 0.5),
            distributions=DISTRIBUTIONS,
            intermediate_values=dict.fromkeys(range(1, EPOCHS + 1), -1.0),
        )
        for number in range(trials)
    ]
    for row in rows:
        study._storage.create_new_trial(study._study_id, template_trial=row)


COLD = """
import json, time
import optuna, psutil
optuna.logging.set_verbosity(optuna.logging.ERROR)
{opening}
process = psutil.Process()
memory, began = process.memory_info().rss, time.process_time()
trials = storage.get_all_trials(storage.get_study_id_from_name("bench"), deepcopy=False)
print(json.dumps([len(trials), time.process_time() - began,
                  (process.memory_info().rss - memory) / 2**20]))
"""
OPENINGS = {
    "stock": "from optuna.storages import get_storage; storage = get_storage({url!r})",
    "ours": "from storage.trials import open_storage; storage = open_storage({url!r})",
}


def cold(kind: str, url: str) -> tuple[float, float]:
    """CPU seconds and megabytes for which a new process reads all trials."""
    code = COLD.format(opening=OPENINGS[kind].format(url=url))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    _, seconds, megabytes = json.loads(done.stdout)
    return seconds, megabytes


def new_study(url: str) -> None:
    """An empty study that both sides may use."""
    studies.create_study(
        url,
        "bench",
        directions=["maximize"],
        metric_names=["value"],
        config={},
        facts={},
        budget=Budget(None, None),
    )


def stock_url(url: str) -> str:
    """The URL as stock Optuna takes it."""
    return Database(url).url.render_as_string(hide_password=False)


def bench(url: str, trials: int) -> dict[str, Any]:
    """All figures."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    new_study(url)
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    sampler = optuna.samplers.RandomSampler(seed=0)

    def stock_study() -> optuna.Study:
        return optuna.load_study(study_name="bench", storage=stock_url(url), sampler=sampler, pruner=pruner)

    results: dict[str, Any] = {"cpu": os.uname().machine, "database": Database(url).url.get_backend_name()}
    for when in ("empty", f"{trials} trials"):
        study, ours = stock_study(), Ours(url)
        results[f"stock, {when}"] = measured(lambda study=study: stock_trial(study))
        results[f"ours, {when}"] = measured(ours.trial)
        if when == "empty":
            storage = open_storage(url)
            fill(storage, "bench", trials)
            storage.close()
    for kind in OPENINGS:
        results[f"{kind}, cold"] = cold(kind, stock_url(url) if kind == "stock" else url)
    return results


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a database of its own; by default an SQLite file in a temporary folder")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = bench(given.url or f"sqlite:///{Path(folder) / 'bench.db'}", given.trials)
    if given.json:
        print(json.dumps(results, indent=2))
        return
    print(f"database: {results['database']}")
    print(f"{'':34}{'stock':>14}{'ours':>14}{'ratio':>8}")
    for label, when, part in (
        ("SQL statements of one trial", "empty", 0),
        ("CPU of one trial, empty study, ms", "empty", 1),
        (f"CPU of one trial, {given.trials}, ms", f"{given.trials} trials", 1),
        (f"cold start, {given.trials}, CPU s", "cold", 0),
        (f"cold start, {given.trials}, MB", "cold", 1),
    ):
        stock, ours = results[f"stock, {when}"][part], results[f"ours, {when}"][part]
        print(f"{label:34}{stock:14.2f}{ours:14.2f}{stock / ours:8.1f}")


if __name__ == "__main__":
    main()
