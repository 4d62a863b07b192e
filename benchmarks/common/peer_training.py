"""The reference training: the plain loop of a tutorial, on the same networks and hyperparameters as ours.

Contiguous NCHW, optimizers as torch makes them by default, validation under `no_grad`. Losses are summed without
waiting for each. The weights of the best epoch are written when there is a better one.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peer_data import EventDataset, Prepared, evaluation_loader, training_loader
from peer_space import LEARNING, NETWORK
from torch import nn
from torch.nn.functional import cross_entropy

from models.cnn import CNNHyperparameters, build
from objectives._seeds import build_model
from objectives._statistics import normalizer

CLASSES = 3


class NotFinite(Exception):
    """The loss is no number any more."""


def network(sampled: Mapping[str, Any], shape: tuple[int, ...], seed: int) -> nn.Module:
    """The network of sampled hyperparameters, with the initial weights of a seed; events are (N, H, W, C)."""
    searched = {name.removeprefix("cnn."): value for name, value in sampled.items() if name.startswith("cnn.")}
    _, height, width, channels = shape
    return build_model(build, CNNHyperparameters(**NETWORK, **searched), (channels, height, width), CLASSES, seed)


def optimizer(model: nn.Module, sampled: Mapping[str, Any]) -> torch.optim.Optimizer:
    """The optimizer; norms and biases are not decayed, as in ours."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": LEARNING["weight_decay"]},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if sampled["optimizer"] == "sgd":
        return torch.optim.SGD(groups, lr=sampled["lr"], momentum=sampled["momentum"], nesterov=LEARNING["nesterov"])
    made = torch.optim.Adam if sampled["optimizer"] == "adam" else torch.optim.AdamW
    return made(groups, lr=sampled["lr"])


def trial_seed(study_seed: int, number: int) -> int:
    """The seed of a trial, the same as ours."""
    return int(np.random.SeedSequence([study_seed, number]).generate_state(1, np.uint64)[0])


class Reference:
    """One trial's training, an epoch at a time."""

    def __init__(
        self,
        prepared: Prepared,
        parts: Mapping[str, EventDataset],
        sampled: Mapping[str, Any],
        seed: int,
        loader_workers: int,
        weights: Path | None,
    ) -> None:
        torch.manual_seed(seed)
        self.model = network(sampled, prepared.shape, seed)
        self._optimizer = optimizer(self.model, sampled)
        self._normalize = normalizer(sampled["normalize"], prepared.statistics)
        self._training = training_loader(parts["training"], sampled["batch_size"], loader_workers)
        self._validation = evaluation_loader(parts["validation"], loader_workers)
        self._weights = weights
        self.best = -math.inf

    def epoch(self) -> float:
        """Train and validate once; the accuracy on the validation events.

        Raises:
            NotFinite: the loss is NaN or infinite.
        """
        total = self._train()
        if not math.isfinite(total):
            raise NotFinite(f"the loss is {total}")
        value = accuracy(self.model, self._validation, self._normalize)
        if value > self.best:
            self.best = value
            if self._weights is not None:
                torch.save(self.model.state_dict(), self._weights)
        return value

    def _train(self) -> float:
        self.model.train()
        total = torch.zeros(())
        for events, labels in self._training:
            loss = cross_entropy(self.model(self._normalize(events)), labels)
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            total += loss.detach()
        return float(total)


@torch.no_grad()
def accuracy(model: nn.Module, batches: Any, normalize: Any) -> float:
    """The share of events whose class is found."""
    model.eval()
    right = seen = 0
    for events, labels in batches:
        right += int((model(normalize(events)).argmax(1) == labels).sum())
        seen += len(labels)
    return right / seen


def open_parts(prepared: Prepared) -> dict[str, EventDataset]:
    """The training and validation events; opened once per process."""
    return {part: EventDataset(prepared, part) for part in ("training", "validation")}


def test_accuracy(prepared: Prepared, sampled: Mapping[str, Any], weights: Path) -> float:
    """Of a trial's best weights, on the test events."""
    model = network(sampled, prepared.shape, 0)
    model.load_state_dict(torch.load(weights, weights_only=True))
    normalize = normalizer(sampled["normalize"], prepared.statistics)
    return accuracy(model, evaluation_loader(EventDataset(prepared, "test"), 0), normalize)
