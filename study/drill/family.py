"""The network of a drill: small, with dropout, and as slow as the drill wants it to be."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from models._family import Family, Shape
from models._hyperparameters import integer, real
from storage._failpoints import ADDRESS_VARIABLE


@dataclass(frozen=True)
class DrilledHyperparameters:
    """Its two."""

    width: int = integer(8, 4, 16, help="hidden features")
    dropout: float = real(0.2, 0.0, 0.5, help="share of hidden features left out in training")


class Drilled(nn.Module):
    """One hidden layer."""

    def __init__(self, hp: DrilledHyperparameters, shape: Shape, outputs: int) -> None:
        super().__init__()
        inputs = shape[0] * shape[1] * shape[2]
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(inputs, hp.width), nn.ReLU(), nn.Dropout(hp.dropout), nn.Linear(hp.width, outputs)
        )

    def forward(self, events: torch.Tensor) -> torch.Tensor:
        """Logits, N × outputs."""
        if self.training:
            time.sleep(_pause_s())
        logits: torch.Tensor = self.layers(events)
        return logits


def pace_file(address: str) -> Path:
    """Where a drill writes how many seconds each batch takes longer."""
    return Path(f"{address}.pace")


def _pause_s() -> float:
    address = os.environ.get(ADDRESS_VARIABLE)
    return float(pace_file(address).read_text()) if address else 0.0


def _build(hp: DrilledHyperparameters, shape: Shape, outputs: int) -> nn.Module:
    return Drilled(hp, shape, outputs)


FAMILY = Family("drilled", DrilledHyperparameters, _build)
