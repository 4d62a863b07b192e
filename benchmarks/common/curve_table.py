"""Learning curves as a function of a configuration, foretold from recorded ones."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from curve_tasks import DIRECTIONS, SPACE, plan_of
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import KFold

from study._random import RandomSuggester

TREES, USED, FOLDS = 100, 5, 5
DRAWS = 2000
"""Random configurations by which a value is called good."""
LEAST, MOST = 1e-9, 1e4
"""Errors beyond these count as these."""
WEIGHTS = {"lr": 4.0, "optimizer": 2.0}
"""How much a difference in a hyperparameter counts against one in another; 1 where none is given."""


class CurveTable:
    """What training a configuration of one task gives, learnt from those that were recorded.

    A curve is the mean of a few extremely randomised trees out of many. Each tree leads a configuration to a recorded
    one that is like it in what matters, so a recorded configuration has its own curve, and a curve has about the jitter
    of a real one; other trees give another, as another seed does. `fidelity` tells how well this foretells trainings
    that the trees have not seen.

    Attributes:
        task, direction: of the metric.
        best: the best value of `DRAWS` random configurations, each at its best epoch.
    """

    def __init__(self, task: str, folder: Path) -> None:
        with np.load(folder / f"{task}.npz") as known:
            rows = json.loads(known["parameters"].tobytes())
            curves, self._seconds = known["curves"].astype(float), known["seconds"].astype(float)
        self.task, self.direction = task, DIRECTIONS[task]
        self._seconds[np.isnan(self._seconds)] = np.nanmedian(self._seconds)
        self._points = np.array([_point(row) for row in rows], np.float32)
        self._targets = self._encoded(curves)
        self._trees = _trees(self._points, self._targets)
        self._values = self._drawn_values()
        self.best = float(self._best_of(self._values))

    def curve(self, sampled: Mapping[str, Any], seed: Sequence[int]) -> tuple[NDArray[np.float64], float]:
        """The metric after each epoch, and the seconds of an epoch.

        Args:
            sampled: The configuration.
            seed: Decides which trees.
        """
        point = np.array([_point(sampled)], np.float32)
        nearest = int(np.abs(self._points - point).sum(axis=1).argmin())
        return self._decoded(_foretold(self._trees, point, seed)), float(self._seconds[nearest])

    def value(self, curve: NDArray[np.float64]) -> float:
        """That of the best epoch."""
        return float(self._best_of(curve))

    def target(self, within: float) -> float:
        """The regret to come to: this one, or that of the best hundredth of random configurations if it is larger.

        Where the validation events are few, the best of many values is luck, and nothing else comes near it.
        """
        regrets = np.sort([self.regret(value) for value in self._values])
        return max(within, float(regrets[len(regrets) // 100]))

    def regret(self, value: float) -> float:
        """How far a value is from the best, relative to it; 0 if it is better."""
        worse = self.best - value if self.direction == "maximize" else value - self.best
        return max(0.0, worse / abs(self.best))

    def fidelity(self) -> dict[str, float]:
        """Rank correlations of the values of trainings with what is foretold of them unseen.

        "used": by a few trees, as `curve` does; "all trees"; "nearest": that of the nearest recorded configuration.
        """
        found: dict[str, list[float]] = {"used": [], "all trees": [], "nearest": [], "truth": []}
        for seen, unseen in KFold(FOLDS, shuffle=True, random_state=0).split(self._points):
            trees = _trees(self._points[seen], self._targets[seen])
            for row in unseen:
                point = self._points[[row]]
                nearest = seen[int(np.abs(self._points[seen] - point).sum(axis=1).argmin())]
                found["used"].append(self._best_of(_foretold(trees, point, [int(row)])))
                found["all trees"].append(self._best_of(np.mean([_leaf(tree, point) for tree in trees], axis=0)))
                found["nearest"].append(self._best_of(self._targets[nearest]))
                found["truth"].append(self._best_of(self._targets[row]))
        truth = found.pop("truth")
        return {name: float(spearmanr(truth, values)[0]) for name, values in found.items()}

    def _drawn_values(self) -> list[float]:
        """Values of random configurations."""
        space, suggester = plan_of(self.task).space, RandomSuggester(0)
        return [self.value(self.curve(space.sample(suggester), [number])[0]) for number in range(DRAWS)]

    def _encoded(self, curves: NDArray[np.float64]) -> NDArray[np.float64]:
        """The recorded curves as the trees learn them: errors by their logarithm, no number as the worst one."""
        lost = ~np.isfinite(curves)
        known = curves if self.direction == "maximize" else np.log(np.clip(curves, LEAST, MOST))
        worst = np.nanmin if self.direction == "maximize" else np.nanmax
        return np.where(lost, worst(np.where(lost, np.nan, known)), known)

    def _decoded(self, curve: NDArray[np.float64]) -> NDArray[np.float64]:
        return curve if self.direction == "maximize" else np.exp(curve)

    def _best_of(self, values: Any) -> Any:
        return np.max(values) if self.direction == "maximize" else np.min(values)


def _trees(points: NDArray[np.float32], targets: NDArray[np.float64]) -> list[Any]:
    forest = ExtraTreesRegressor(TREES, random_state=0).fit(points, targets)
    return [estimator.tree_ for estimator in forest.estimators_]


def _leaf(tree: Any, point: NDArray[np.float32]) -> NDArray[np.float64]:
    """The curve of the recorded configuration to which a tree leads."""
    curve: NDArray[np.float64] = tree.predict(point).reshape(-1)
    return curve


def _foretold(trees: Sequence[Any], point: NDArray[np.float32], seed: Sequence[int]) -> NDArray[np.float64]:
    chosen = np.random.default_rng(seed).choice(len(trees), USED, replace=False)
    mean: NDArray[np.float64] = np.mean([_leaf(trees[index], point) for index in chosen], axis=0)
    return mean


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
