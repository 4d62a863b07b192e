"""How many epochs do samplers with pruners need to come within 1 % of the best, on recorded learning curves?

    python -P benchmarks/search.py [--tasks reported] [--slots 1 8 64] [--seeds 20] [--methods …] [--json FILE]

Curves are foretold from those in `benchmarks/curves/`, which `record_curves.py` has recorded, by trees with the
residual of a recorded configuration (`common/curve_table.py`); `--fidelity` prints how well. Slots train
asynchronously, an epoch taking as long as it took. Ours is the real sampler and rule of halving, stock is plain
Optuna's own study. Epochs are counted until a trial that was trained to its end is within 1 % of the best of 2,000
random configurations, or among their best hundredth where that is easier; a search that has not come there after
`--most` epochs counts as if it had then. Speed-ups are geometric means over seeds of the ratio with the same seed, with
their 95 % intervals (Student's t on logarithms). Defaults were chosen on the tasks `chosen`, and the others are what
they are reported on.
"""

import argparse
import functools
import json
import math
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

sys.path.append(str(Path(__file__).parent / "common"))
from curve_table import CurveTable
from curve_tasks import CHOSEN_ON, REPORTED_ON, TASKS
from search_methods import METHODS, REPORTED
from search_run import Search

GROUPS = {"chosen": CHOSEN_ON, "reported": REPORTED_ON, "all": TASKS, **{task: (task,) for task in TASKS}}
Job = tuple[str, str, int, int, int, float, str]


@functools.cache
def table_for(task: str, folder: str) -> CurveTable:
    """The task's table: learning it takes some seconds, once in each process."""
    return CurveTable(task, Path(folder))


def run(job: Job) -> dict[str, Any]:
    """One search."""
    task, method, slots, seed, most, regret, folder = job
    table = table_for(task, folder)
    regret = table.target(regret)
    course = Search(METHODS[method], table, slots, seed).run(most, regret)
    used = min(course.to_regret(regret), most)
    return {
        "task": task,
        "method": method,
        "slots": slots,
        "seed": seed,
        "epochs": int(used),
        "reached": math.isfinite(course.to_regret(regret)),
        "course": list(zip(course.epochs, course.regrets, strict=True)),
        "trials": course.trials,
    }


def ratio(others: list[int], ours: list[int]) -> tuple[float, float, float]:
    """Geometric mean of the paired ratio and its 95 % interval."""
    logs = np.log(np.array(others) / np.array(ours))
    half = student.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / math.sqrt(len(logs)) if len(logs) > 1 else math.inf
    return tuple(float(x) for x in np.exp([logs.mean(), logs.mean() - half, logs.mean() + half]))  # type: ignore[return-value]


def table_of(results: list[dict[str, Any]], methods: list[str], tasks: list[str], slots: list[int]) -> list[str]:
    """Lines: epochs and speed-ups, for each number of slots on each task and on all."""
    by = {(r["task"], r["method"], r["slots"], r["seed"]): r for r in results}
    seeds = sorted({r["seed"] for r in results})
    head = ("task", "slots", "method", "median", "not", "speed-up over random", "over stock")
    lines = [_line(*head)]
    for group in [*([task] for task in tasks), *([tasks] if len(tasks) > 1 else [])]:
        for count in slots:
            for method in methods:
                mine = [by[task, method, count, seed] for task in group for seed in seeds]
                epochs = [r["epochs"] for r in mine]
                name = group[0] if len(group) == 1 else "all"
                cells = []
                for other in ("random", "stock"):
                    if other not in methods or other == method:
                        cells.append("")
                        continue
                    value, low, high = ratio([by[t, other, count, s]["epochs"] for t in group for s in seeds], epochs)
                    cells.append(f"{value:.2f} ({low:.2f}-{high:.2f})")
                missed = sum(not r["reached"] for r in mine)
                lines.append(_line(name, count, method, int(np.median(epochs)), missed, *cells))
    return lines


def _line(task: str, slots: object, method: str, median: object, missed: object, random: str, stock: str) -> str:
    return f"{task:12} {slots:>5} {method:20} {median:>7} {missed:>4} {random:>22} {stock:>22}"


def main() -> None:
    """Run all searches and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", choices=GROUPS, default="reported")
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(REPORTED))
    parser.add_argument("--regret", type=float, default=0.01)
    parser.add_argument("--most", type=int, default=10_000, help="epochs of a search")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--curves", default=str(Path(__file__).parent / "curves"))
    parser.add_argument("--fidelity", action="store_true", help="print how well unseen trainings are foretold, and end")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    tasks = list(GROUPS[args.tasks])
    if args.fidelity:
        for task in tasks:
            told = ", ".join(f"{name} {value:.2f}" for name, value in table_for(task, args.curves).fidelity().items())
            print(f"{task:12} rank correlation with trainings that were not seen: {told}")
        return
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    jobs: list[Job] = [
        (task, method, slots, seed, args.most, args.regret, args.curves)
        for method in args.methods
        for slots in args.slots
        for task in tasks
        for seed in seeds
    ]
    results = []
    with multiprocessing.get_context("spawn").Pool(args.processes) as pool:
        for done, result in enumerate(pool.imap_unordered(run, jobs), start=1):
            results.append(result)
            if args.json:
                args.json.write_text(json.dumps(results), encoding="utf-8")
            if sys.stderr.isatty():
                print(f"\r{done} of {len(jobs)}", end="", file=sys.stderr, flush=True)
    print("\n".join(table_of(results, args.methods, tasks, args.slots)))


if __name__ == "__main__":
    main()
