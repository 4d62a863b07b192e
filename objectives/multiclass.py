"""Which of several classes: softmax and cross-entropy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from objectives._labels import check_names, class_indices, class_values, names_of
from objectives._metrics import accuracy, balanced_accuracy, log_loss, roc_auc_one_vs_rest
from objectives._task import Direction, Raw, TaskKind, everything

METRICS: dict[str, Direction] = {
    "accuracy": "maximize",
    "balanced_accuracy": "maximize",
    "log_loss": "minimize",
    "roc_auc": "maximize",
}


@dataclass(frozen=True)
class MulticlassOptions:
    """What a study may set.

    Attributes:
        class_names: the names of labels 0, 1, …; by default those stored in the file, else the labels themselves.
    """

    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_names(self.class_names)


@dataclass(frozen=True)
class MulticlassTask:
    """One logit per class; the classes are the distinct labels of the used events, ascending."""

    labels: tuple[int, ...]
    classes: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """One logit per class."""
        return len(self.labels)

    @property
    def columns(self) -> tuple[str, ...]:
        """One probability per class."""
        return tuple(f"probability_{name}" for name in self.classes)

    @property
    def metrics(self) -> Mapping[str, Direction]:
        """As listed at the top of this file."""
        return METRICS

    @property
    def default_metric(self) -> str:
        """The one of the kind."""
        return TASK.default_metric

    def encode(self, raw: Raw) -> NDArray[np.int64]:
        """Return class indices (N,).

        Raises:
            DataError: a label that is no class of this task.
        """
        return class_indices(raw, self.labels)

    def loss(
        self, outputs: Tensor, encoded: Tensor, weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Tensor:
        """Return the cross-entropy of each event (B,), in nats."""
        losses = cross_entropy(outputs, encoded, reduction="none", label_smoothing=label_smoothing)
        return losses if weights is None else losses * weights

    def predict(self, outputs: Tensor) -> Tensor:
        """Return probabilities (B, classes), which sum to 1."""
        return torch.softmax(outputs.double(), dim=1)

    def score(self, predictions: NDArray[np.float64], raw: Raw) -> dict[str, float]:
        """Return the metrics; ROC AUC is the mean over classes of one against the rest."""
        encoded = self.encode(raw)
        predicted = predictions.argmax(axis=1)
        return {
            "accuracy": accuracy(encoded, predicted),
            "balanced_accuracy": balanced_accuracy(encoded, predicted),
            "log_loss": log_loss(encoded, predictions),
            "roc_auc": roc_auc_one_vs_rest(encoded, predictions),
        }


def _summarise(
    options: MulticlassOptions, targets: Raw, training_targets: Raw, class_names: tuple[str, ...] | None
) -> dict[str, Any]:
    names = options.class_names or class_names
    values = class_values(targets, names)
    return {"labels": list(values), "class_names": list(names_of(values, names))}


def _create(options: MulticlassOptions, summary: Mapping[str, Any]) -> MulticlassTask:
    return MulticlassTask(tuple(summary["labels"]), tuple(summary["class_names"]))


TASK = TaskKind(
    name="multiclass",
    options=MulticlassOptions,
    stratified=True,
    classification=True,
    metrics=METRICS,
    default_metric="accuracy",
    classes=everything,
    summarise=_summarise,
    create=_create,
)
