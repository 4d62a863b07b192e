"""How searches compare: epochs to the goal, paired seed by seed, and regret at equal budgets."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import t as student
from search_results import Result, suffices

BUDGETS = (300, 1000, 3000)
"""Epochs at which the regret is told."""
AGAINST = ("random", "stock")


def paired_ratio(others: Sequence[float], ours: Sequence[float]) -> tuple[float, float, float]:
    """Geometric mean of the paired ratio of others to ours, and its 95 % interval (Student's t on logarithms)."""
    logs = np.log(np.array(others) / np.array(ours))
    half = student.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / math.sqrt(len(logs)) if len(logs) > 1 else math.inf
    mean, low, high = (float(value) for value in np.exp([logs.mean(), logs.mean() - half, logs.mean() + half]))
    return mean, low, high


def regret_at(result: Result, epochs: int) -> float:
    """Regret after so many epochs in units of the goal, but not below it; infinite before a trial is complete."""
    known = (regret for used, regret in result["course"] if used <= epochs)
    return max(1.0, min(known, default=math.inf) / result["goal"])


def table_of(
    results: Sequence[Result], methods: Sequence[str], groups: Mapping[str, Sequence[str]], slots: Sequence[int]
) -> list[str]:
    """Lines, for each number of slots on each group of tasks.

    Args:
        results: Of the same seeds for all.
        methods: In this order; speed-ups are over those of `AGAINST` that are among them.
        groups: Tasks by the group's name.
        slots: In this order.
    """
    by = {(r["task"], r["method"], r["slots"], r["seed"]): r for r in results}
    seeds = sorted({r["seed"] for r in results})
    budgets = " ".join(f"{f'at {budget}':>8}" for budget in BUDGETS)
    head = f"{'tasks':10} {'slots':>5} {'method':22} {'median':>6} {'not':>7} {budgets}"
    lines = [f"{head} {'over random':>17} {'over stock':>17}"]
    for group, tasks in groups.items():
        for count in slots:
            of = {m: [by[task, m, count, seed] for task in tasks for seed in seeds] for m in methods}
            lines += [_line(group, count, method, of) for method in methods]
    return lines


def _line(group: str, slots: int, method: str, of: Mapping[str, Sequence[Result]]) -> str:
    mine = of[method]
    median = int(np.median([r["epochs"] for r in mine]))
    missed = f"{sum(not r['reached'] for r in mine)}/{len(mine)}"
    regrets = " ".join(f"{_regret(mine, budget):>8}" for budget in BUDGETS)
    ratios = [_ratio(of[other], mine) if other in of and other != method else "" for other in AGAINST]
    return f"{group:10} {slots:5} {method:22} {median:6} {missed:>7} {regrets} {ratios[0]:>17} {ratios[1]:>17}"


def _regret(results: Sequence[Result], budget: int) -> str:
    """The median after so many epochs; of an even number the upper one, since one of the two may be infinite."""
    if not all(suffices(result, budget) for result in results):
        return "-"
    median = sorted(regret_at(result, budget) for result in results)[len(results) // 2]
    return f"{median:.2f}" if math.isfinite(median) else "-"


def _ratio(others: Sequence[Result], ours: Sequence[Result]) -> str:
    return "{:.2f} ({:.2f}-{:.2f})".format(*paired_ratio([r["epochs"] for r in others], [r["epochs"] for r in ours]))
