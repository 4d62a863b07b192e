"""Recorded learning curves as a function of a configuration: that of one of the nearest recorded."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from curve_tasks import DIRECTIONS, SPACE
from numpy.typing import NDArray

NEAREST = 3
WEIGHTS = {"lr": 4.0, "optimizer": 2.0}
"""How much a difference in a hyperparameter counts against one in another; 1 where none is given."""


class CurveTable:
    """The trainings of one task.

    Attributes:
        curves: (configurations, epochs) the metric, NaN where the loss was no number.
        seconds: of an epoch, by configuration.
        best: the best value of any configuration at its best epoch.
    """

    def __init__(self, task: str, folder: Path, *, rows: slice = slice(None)) -> None:
        with np.load(folder / f"{task}.npz") as known:
            self._rows = json.loads(known["parameters"].tobytes())[rows]
            self.curves, self.seconds = known["curves"][rows].astype(float), known["seconds"][rows].astype(float)
        self.task, self.direction = task, DIRECTIONS[task]
        self.seconds[np.isnan(self.seconds)] = np.nanmedian(self.seconds)
        self._points = np.array([_point(row) for row in self._rows])
        finals = self.final_values()
        self.best = float(np.nanmax(finals) if self.direction == "maximize" else np.nanmin(finals))

    def final_values(self) -> NDArray[np.float64]:
        """Each configuration's value: that of its best epoch; NaN without any."""
        best = np.fmax.reduce if self.direction == "maximize" else np.fmin.reduce
        values: NDArray[np.float64] = best(self.curves, axis=1)
        return values

    def nearest(self, sampled: Mapping[str, Any], draw: float) -> int:
        """The index of one of the recorded configurations that are most like this one.

        Drawn, since to train a like configuration again gives another curve.

        Args:
            sampled: The configuration.
            draw: Which of them, from 0 up to 1.
        """
        distances = np.abs(self._points - _point(sampled)).sum(axis=1)
        return int(np.argpartition(distances, NEAREST)[:NEAREST][int(draw * NEAREST)])

    def target(self, within: float) -> float:
        """The regret to come to: this one, or that of the best hundredth of the configurations if it is larger.

        Where the validation events are few, the best of many values is luck, and nothing else comes near it.
        """
        regrets = np.sort([self.regret(value) for value in self.final_values()])
        return max(within, float(regrets[len(regrets) // 100]))

    def regret(self, value: float) -> float:
        """How far a value is from the best, relative to it."""
        if math.isnan(value):
            return math.inf
        return abs(value - self.best) / abs(self.best)


def _point(row: Mapping[str, Any]) -> list[float]:
    """Coordinates from 0 to 1, one per number and one per option of a choice; in the middle where it does not count."""
    point: list[float] = []
    for name, given in SPACE.items():
        if not isinstance(given, dict):
            continue
        weight, value = WEIGHTS.get(name, 1.0), row.get(name)
        if "choice" in given:
            point += [weight * 0.5 * (value == option) for option in given["choice"]]
            continue
        low, high = next(given[kind] for kind in ("int", "float") if kind in given)
        scale = math.log if given.get("log") else float
        share = 0.5 if value is None else (scale(value) - scale(low)) / (scale(high) - scale(low))
        point.append(weight * share)
    return point
