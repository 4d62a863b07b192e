"""Many processes on one study: stock Optuna 5.0.0's storage beside ours, on the same database, one after the other.

    python -P benchmarks/throughput.py --url sqlite:////tmp/bench.db --processes 8
    python -P benchmarks/throughput.py --url postgresql://postgres@127.0.0.1/bench --processes 32

Each trial has 12 parameters and 20 reported epochs with pruning on, and a trivial objective: `--pruner halving`, each
side's successive halving, or `--pruner median`, Optuna's default pruner on both sides. Parameters come from a sampler
that costs nothing on both sides, so what is measured is the storage. The database must be empty; every
durability setting is its default, that is, commits are flushed to the disk. Prints finished trials per second, how many
calls failed, and CPU per trial of the clients.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path
from statistics import median
from typing import Any

import optuna
from optuna.pruners import BasePruner, MedianPruner, SuccessiveHalvingPruner

sys.path.append(str(Path(__file__).parent / "common"))
from storage_trials import EPOCHS, FreeSampler, Ours, new_study, sqlalchemy_url, stock_trial

from study.pruning import OptunaPruning

SPREAD = 5
"""The measured time is cut into so many parts, whose rates give the spread."""


@dataclass(frozen=True)
class Result:
    """Of one process: when its trials ended, errors by text, CPU seconds."""

    ends: list[float]
    errors: dict[str, int]
    cpu_s: float


def run_stock(url: str, name: str, pruner: str, end: float) -> Result:
    """A process of plain Optuna."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(
        study_name=name,
        storage=optuna.storages.RDBStorage(sqlalchemy_url(url)),
        sampler=FreeSampler(),
        pruner=PRUNERS[pruner](),
    )
    return repeat(lambda: stock_trial(study), end)


def run_ours(url: str, name: str, pruner: str, end: float) -> Result:
    """A process of ours."""
    ours = Ours(url, name)
    if pruner == "median":
        ours.pruning = OptunaPruning(MedianPruner(), ours.storage, name, EPOCHS)
    return repeat(ours.trial, end)


PRUNERS: dict[str, Callable[[], BasePruner]] = {
    "halving": lambda: SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
    "median": MedianPruner,
}


def repeat(trial: Callable[[], Any], end: float) -> Result:
    """Trials until the end; an error is counted, and the process goes on."""
    ends: list[float] = []
    errors: dict[str, int] = {}
    began = time.process_time()
    while time.monotonic() < end:
        try:
            trial()
        except Exception as error:
            text = f"{type(error).__name__}: {str(error).splitlines()[0][:80] if str(error) else ''}"
            errors[text] = errors.get(text, 0) + 1
            continue
        ends.append(time.monotonic())
    return Result(ends, errors, time.process_time() - began)


Run = Callable[[str, str, str, float], Result]


def _child(run: Run, arguments: tuple[str, str, str, float], out: "Queue[Result]") -> None:
    out.put(run(*arguments))


def together(run: Run, what: tuple[str, str, str], processes: int, seconds: float) -> list[Result]:
    """Run so many processes at once; forked, so that they all begin warm."""
    context = multiprocessing.get_context("fork")
    out: Queue[Result] = context.Queue()
    end = time.monotonic() + seconds
    children = [context.Process(target=_child, args=(run, (*what, end), out)) for _ in range(processes)]
    for child in children:
        child.start()
    results = [out.get() for _ in children]
    for child in children:
        child.join()
    return results


def rates(results: list[Result], seconds: float) -> list[float]:
    """Trials per second in each part of the measured time."""
    ends = sorted(moment for result in results for moment in result.ends)
    if not ends:
        return [0.0]
    last, part = ends[-1], seconds / SPREAD
    first = last - seconds
    return [sum(first + i * part < moment <= first + (i + 1) * part for moment in ends) / part for i in range(SPREAD)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="an empty database of its own")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--pruner", choices=list(PRUNERS), default="halving")
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    print(f"{given.processes} processes, {given.pruner}, {given.seconds:g} s each side, {EPOCHS} epochs a trial")
    print(f"{'':8}{'trials/s':>10}{'lowest':>9}{'highest':>9}{'trials':>8}{'errors':>8}{'CPU ms/trial':>14}")
    measured = {}
    for side, run in (("stock", run_stock), ("ours", run_ours)):
        new_study(given.url, side)
        results = together(run, (given.url, side, given.pruner), given.processes, given.seconds)
        trials = sum(len(result.ends) for result in results)
        errors = sum(sum(result.errors.values()) for result in results)
        parts = rates(results, given.seconds)
        cpu = 1000 * sum(result.cpu_s for result in results) / max(1, trials)
        measured[side] = trials / given.seconds
        print(
            f"{side:8}{trials / given.seconds:10.2f}{min(parts):9.2f}{max(parts):9.2f}{trials:8}{errors:8}{cpu:14.1f}"
            f"    (median of {SPREAD} parts {median(parts):.2f})"
        )
        for result in results:
            for text, count in result.errors.items():
                print(f"         {count} × {text}")
    print(f"ours / stock: {measured['ours'] / max(measured['stock'], 1e-9):.1f}")


if __name__ == "__main__":
    main()
