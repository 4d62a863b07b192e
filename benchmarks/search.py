"""How many epochs do samplers with pruners need to come within 1 % of the best, on foretold learning curves?

    python -P benchmarks/search.py [--tasks reported] [--slots 1 8 64] [--seeds 20] [--methods …] [--json FILE …]

Curves are foretold from those in `benchmarks/curves/`, which `record_curves.py` has recorded, as the mean of a few
trees (`common/curve_table.py`); `--fidelity` prints how well. Slots train asynchronously, an epoch taking as long as it
took. Ours is the real sampler and rule of halving, stock is plain Optuna's own study. Epochs are counted until a trial
that was trained to its end is within 1 % of the best of 2,000 random configurations, or among their best hundredth
where that is easier; a search that has not come there after `--most` epochs counts as if it had then. Speed-ups are
geometric means over seeds of the ratio with the same seed, with their 95 % intervals (Student's t on logarithms).
Regrets at equal budgets are medians in units of the goal, where a search ends. Defaults were chosen on the tasks
`chosen`, and the others are what they are reported on.

With `--json` a run continues: searches whose results the files hold are not repeated, and the first file is brought up
to date after each. Results of other curves or of a method that is defined otherwise are not used; after a change of the
samplers or of halving itself, give a new file.
"""

import argparse
import functools
import math
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "common"))
from curve_table import CurveTable
from curve_tasks import CHOSEN_ON, REPORTED_ON, TASKS
from search_methods import METHODS, REPORTED
from search_picture import draw
from search_results import Key, Result, cut, key, read, suffices, write
from search_run import Search
from search_table import table_of

GROUPS = {"chosen": CHOSEN_ON, "reported": REPORTED_ON, "all": TASKS, **{task: (task,) for task in TASKS}}
Job = tuple[str, str, int, int, int, float, str]
"""Task, method, slots, seed, most epochs, regret, folder of the curves."""


@functools.cache
def table_for(task: str, folder: str) -> CurveTable:
    """The task's table: learning it takes some seconds, once in each process."""
    return CurveTable(task, Path(folder))


def key_of(job: Job) -> Key:
    """The key of its result."""
    task, method, slots, seed, _most, regret, folder = job
    table = table_for(task, folder)
    of = f"best {table.best:.9g}, goal {table.target(regret):.9g}, {METHODS[method].definition()}"
    return task, method, slots, seed, of


def run(job: Job) -> Result:
    """One search."""
    task, method, slots, seed, most, regret, folder = job
    table = table_for(task, folder)
    goal = table.target(regret)
    course = Search(METHODS[method], table, slots, seed).run(most, goal)
    used = course.to_regret(goal)
    return {
        "task": task,
        "method": method,
        "slots": slots,
        "seed": seed,
        "of": key_of(job)[-1],
        "goal": goal,
        "epochs": int(min(used, most)),
        "reached": math.isfinite(used),
        "course": list(zip(course.epochs, course.regrets, strict=True)),
        "trials": course.trials,
    }


def results_of(jobs: Sequence[Job], files: Sequence[Path], processes: int) -> list[Result]:
    """The result of each search, from the files where they hold it; the first file then holds all."""
    known = read(files)
    left = [job for job in jobs if key_of(job) not in known or not suffices(known[key_of(job)], job[4])]
    for done, result in enumerate(_searched(left, processes), start=1):
        known[key(result)] = result
        if files:
            write(files[0], known.values())
        if sys.stderr.isatty():
            print(f"\r{done} of {len(left)}", end="", file=sys.stderr, flush=True)
    if files:
        write(files[0], known.values())
    return [cut(known[key_of(job)], job[4]) for job in jobs]


def _searched(jobs: Sequence[Job], processes: int) -> Iterator[Result]:
    """As they come; a single process is this one."""
    if processes == 1:
        yield from map(run, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(run, jobs)


def groups_of(tasks: Sequence[str]) -> dict[str, Sequence[str]]:
    """Each task, and the halves that are there as a whole."""
    halves = {name: GROUPS[name] for name in ("chosen", "reported") if set(GROUPS[name]) <= set(tasks)}
    return {task: (task,) for task in tasks} | halves


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
    parser.add_argument("--json", type=Path, nargs="+", default=[], help="files of results; the first is written")
    parser.add_argument("--picture", type=Path, help="draw the regret against the epochs into this file")
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
    results = results_of(jobs, args.json, args.processes)
    groups = groups_of(tasks)
    print("\n".join(table_of(results, args.methods, groups, args.slots)))
    if args.picture:
        halves = {name: of for name, of in groups.items() if name not in TASKS} or groups
        draw(args.picture, results, args.methods, halves, args.slots, args.most)


if __name__ == "__main__":
    main()
