"""Asynchronous successive halving over running peers.

Source: L. Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020. At each rung (1, 3, 9, …
epochs) a trial goes on if it is among the best third of all trials that have reached the rung so far, whether they run
still, were stopped or are done. The decisions are those of Optuna's `SuccessiveHalvingPruner`, but that of trials with
equal values not all go on: lots decide, for a rung must not let more pass where values are coarse, as an accuracy at
the level of chance is.
"""

import math
from dataclasses import dataclass

from objectives._task import Direction

GOLDEN = (math.sqrt(5) - 1) / 2
"""Its multiples lie evenly between the integers."""


@dataclass(frozen=True)
class Halving:
    """The rule.

    Attributes:
        min_resource: Epochs up to the first rung, from 1.
        reduction_factor: One in so many goes on, from 2.
        early_rungs: Rungs that are left out at the beginning.
        bootstrap: A rung's first so many trials are stopped.
        spare: Share of the trials that pass the first rung whatever they have reported there, from 0 to 1. Where the
            first epochs tell nothing of the last, only these can win.
    """

    direction: Direction
    min_resource: int = 1
    reduction_factor: int = 3
    early_rungs: int = 0
    bootstrap: int = 0
    spare: float = 0.0

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """The epochs at which a trial of so many epochs may be stopped."""
        found = []
        rung = self.min_resource * self.reduction_factor**self.early_rungs
        while rung < epochs:
            found.append(rung)
            rung *= self.reduction_factor
        return tuple(found)

    def spares(self, epoch: int, number: int) -> bool:
        """Whether the trial of this number passes this epoch unseen; spread evenly over the numbers."""
        first = self.min_resource * self.reduction_factor**self.early_rungs
        return epoch == first and number * GOLDEN % 1 < self.spare

    def stops(self, value: float, others: int, better: int) -> bool:
        """Whether a trial with this value at a rung is stopped.

        Args:
            value: Its own.
            others: How many other trials have reached the rung.
            better: How many of them are better, or equal and drawn before it.
        """
        if math.isnan(value):
            return True
        reached = others + 1
        if reached <= self.bootstrap:
            return True
        return better >= max(1, reached // self.reduction_factor)
