"""A picture of how the regret falls with the epochs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from search_results import Result
from search_table import regret_at

POINTS = 200
HIGHEST = 12.0
"""Regret in units of the goal, up to which is shown."""


def draw(
    file: Path,
    results: Sequence[Result],
    methods: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    slots: Sequence[int],
    most: int,
) -> None:
    """Write it: medians, one row for each group of tasks and one column for each number of slots.

    Args:
        file: Its suffix decides the format.
        results: Of searches of at least `most` epochs, where they did not come to the goal.
        methods: In this order.
        groups: Tasks by the group's name.
        slots: In this order.
        most: Epochs that are shown.
    """
    figure = Figure(figsize=(4 * len(slots), 2.8 * len(groups)), layout="constrained")
    panels = figure.subplots(len(groups), len(slots), sharex=True, sharey=True, squeeze=False)
    epochs = np.unique(np.geomspace(20, most, POINTS).astype(int))
    for row, (group, tasks) in zip(panels, groups.items(), strict=True):
        for panel, count in zip(row, slots, strict=True):
            for method in methods:
                mine = [r for r in results if (r["method"], r["slots"]) == (method, count) and r["task"] in tasks]
                medians = [sorted(regret_at(r, int(e)) for r in mine)[len(mine) // 2] for e in epochs]
                panel.plot(epochs, medians, label=method)
            panel.set(xscale="log", yscale="log", title=f"{group} tasks, {count} slot{'s' * (count > 1)}")
            panel.set_yticks([1, 2, 3, 5, 10], ["1", "2", "3", "5", "10"], minor=False)
            panel.minorticks_off()
            panel.set_ylim(0.9, HIGHEST)
            panel.grid(alpha=0.3)
        row[0].set_ylabel("median regret / goal")
    for panel in panels[-1]:
        panel.set_xlabel("epochs")
    panels[0][0].legend(fontsize="small")
    figure.savefig(file, dpi=110)
