"""Random draws from a space without a sampler or a study, for dry runs."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from study._space import MODEL


class RandomSuggester:
    """Draws every parameter at random.

    Args:
        seed: Of its draws.
        model: The family that is always taken; None draws it too.
    """

    def __init__(self, seed: int, model: str | None = None) -> None:
        self._random = np.random.default_rng(seed)
        self._model = model

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """An integer from low to high."""
        if log:
            return min(high, int(math.exp(self._random.uniform(math.log(low), math.log(high + 1)))))
        return low + step * int(self._random.integers((high - low) // step + 1))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number from low to high."""
        if log:
            return min(high, max(low, math.exp(self._random.uniform(math.log(low), math.log(high)))))
        if step is None:
            return float(self._random.uniform(low, high))
        return low + step * int(self._random.integers(round((high - low) / step) + 1))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        if name == MODEL and self._model is not None:
            return self._model
        return choices[int(self._random.integers(len(choices)))]
