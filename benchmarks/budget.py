"""A budget of 100 trials, 8 agents and random kills: how many trials are there in the end?

    python -P benchmarks/budget.py [--url postgresql://postgres@127.0.0.1/bench] [--kills 40] [--seed 0]

Ours: eight processes claim, report and finish with leases of one second; again and again one of them is killed (-9) at
a random moment and started anew. Stock Optuna: eight processes with `MaxTrialsCallback(100)`,
nobody is killed. By default an SQLite file in a temporary folder; a given database must be empty.
"""

import argparse
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path

import optuna
from optuna.study import MaxTrialsCallback

sys.path.append(str(Path(__file__).parent / "common"))
from storage_trials import EPOCHS, FreeSampler, Ours, TwelveFloats, new_study, sqlalchemy_url, value_at

from storage.claims import Refusal

BUDGET, PROCESSES, LEASE_S, EPOCH_S = 100, 8, 1.0, 0.02


def our_process(url: str) -> None:
    """Trials until the study is done."""
    ours = Ours(url, "ours", lease_s=LEASE_S)
    epoch = ours.epoch

    def slowly(claim: object, number: int) -> None:
        time.sleep(EPOCH_S)
        epoch(claim, number)  # type: ignore[arg-type]

    ours.epoch = slowly  # type: ignore[method-assign, assignment]
    while (claim := ours.claim()) is not Refusal.DONE:
        if isinstance(claim, Refusal):
            time.sleep(0.05)
        else:
            ours.run(claim)


def stock_process(url: str) -> None:
    """Trials until Optuna's callback says that it is enough."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: optuna.Trial) -> float:
        TwelveFloats().sample(trial)
        for epoch in range(1, EPOCHS + 1):
            time.sleep(EPOCH_S)
            trial.report(value_at(trial.number, epoch), epoch)
        return 0.5

    study = optuna.load_study(study_name="stock", storage=sqlalchemy_url(url), sampler=FreeSampler())
    study.optimize(objective, callbacks=[MaxTrialsCallback(BUDGET)])


def started(url: str, target: object) -> BaseProcess:
    """A forked process, warm."""
    process = multiprocessing.get_context("fork").Process(target=target, args=(url,))  # type: ignore[arg-type]
    process.start()
    return process


def run_ours(url: str, kills: int, seed: int) -> int:
    """Until every process has ended by itself; how many were killed."""
    chance, killed = random.Random(seed), 0
    processes = [started(url, our_process) for _ in range(PROCESSES)]
    while any(process.exitcode is None for process in processes):
        time.sleep(chance.uniform(0.05, 0.3))
        index = chance.randrange(PROCESSES)
        if killed < kills and processes[index].exitcode is None:
            processes[index].kill()
            processes[index].join()
            processes[index] = started(url, our_process)
            killed += 1
    for process in processes:
        process.join()
    return killed


def count(url: str, name: str) -> str:
    """The study's trials by state."""
    states = Counter(
        trial.state.name for trial in optuna.load_study(study_name=name, storage=sqlalchemy_url(url)).trials
    )
    return f"{sum(states.values())} trials: {', '.join(f'{n} {state}' for state, n in sorted(states.items()))}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url")
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = given.url or f"sqlite:///{Path(folder) / 'bench.db'}"
        new_study(url, "ours", BUDGET)
        killed = run_ours(url, given.kills, given.seed)
        print(f"ours, budget {BUDGET}, {PROCESSES} agents, {killed} kills: {count(url, 'ours')}")
        new_study(url, "stock")
        processes = [started(url, stock_process) for _ in range(PROCESSES)]
        for process in processes:
            process.join()
        print(f"stock, MaxTrialsCallback({BUDGET}), {PROCESSES} processes, no kills: {count(url, 'stock')}")


if __name__ == "__main__":
    main()
