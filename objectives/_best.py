"""The best epoch so far, its weights and its predictions."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from objectives._task import Direction


class Best:
    """Keeps the first epoch with the best value; a NaN is worse than any number.

    Attributes:
        epoch: from 1; 0 before any.
        value: the metric after that epoch; NaN before any.
        weights: the model's state after that epoch, copied to the CPU; empty before any.
        predictions: of the validation events after that epoch, (N, K) float64; None where another process trained it,
            since a saved state holds none.
    """

    def __init__(self, direction: Direction) -> None:
        self._sign = 1 if direction == "maximize" else -1
        self.epoch = 0
        self.value = math.nan
        self.weights: dict[str, Tensor] = {}
        self.predictions: NDArray[np.float64] | None = None

    def offer(self, epoch: int, value: float, model: nn.Module, predictions: NDArray[np.float64]) -> None:
        """Take the epoch if its value is better."""
        number_at_last = math.isnan(self.value) and not math.isnan(value)
        if self.epoch == 0 or number_at_last or self._sign * value > self._sign * self.value:
            self.epoch, self.value, self.predictions = epoch, value, predictions
            self.weights = {
                name: torch.empty_like(tensor, device="cpu").copy_(tensor)
                for name, tensor in model.state_dict().items()
            }

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and numbers."""
        return {"epoch": self.epoch, "value": self.value, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become what was saved."""
        self.epoch, self.value, self.weights = state["epoch"], state["value"], state["weights"]
        self.predictions = None
