"""One class against another: one logit, sigmoid and binary cross-entropy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from objectives._labels import check_names, class_indices, class_values, names_of
from objectives._metrics import accuracy, balanced_accuracy, log_loss, roc_auc
from objectives._pair import Label, pair
from objectives._task import Direction, Raw, TaskKind

METRICS: dict[str, Direction] = {
    "accuracy": "maximize",
    "balanced_accuracy": "maximize",
    "log_loss": "minimize",
    "roc_auc": "maximize",
}


@dataclass(frozen=True)
class BinaryOptions:
    """What a study may set.

    Attributes:
        positive: the class whose probability is predicted, by label or name; by default the larger of the two labels.
        negative: the other class; needed only if the file has more than two.
        class_names: the names of labels 0, 1, …; by default those stored in the file, else the labels themselves.
    """

    positive: Label | None = None
    negative: Label | None = None
    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_names(self.class_names)
        if self.positive is not None and self.positive == self.negative:
            raise ValueError(f"positive and negative are both {self.positive!r}; they must be two classes")


@dataclass(frozen=True)
class BinaryTask:
    """One logit, for the positive class; encoded, the negative class is 0 and the positive one 1."""

    negative: int
    positive: int
    classes: tuple[str, ...]
    outputs: int = 1

    @property
    def columns(self) -> tuple[str, ...]:
        """The positive class's probability."""
        return (f"probability_{self.classes[1]}",)

    @property
    def metrics(self) -> Mapping[str, Direction]:
        """As listed at the top of this file."""
        return METRICS

    @property
    def default_metric(self) -> str:
        """The one of the kind."""
        return TASK.default_metric

    def encode(self, raw: Raw) -> NDArray[np.int64]:
        """Return 1 for each positive event and 0 for each negative one, (N,).

        Raises:
            DataError: a label that is neither class.
        """
        indices = class_indices(raw, sorted((self.negative, self.positive)))
        return indices if self.negative < self.positive else 1 - indices

    def loss(
        self, outputs: Tensor, encoded: Tensor, weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Tensor:
        """Return the binary cross-entropy of each event (B,), in nats; smoothing moves 0 and 1 towards one half."""
        target = encoded.to(outputs.dtype) * (1 - label_smoothing) + label_smoothing / 2
        losses = binary_cross_entropy_with_logits(outputs[:, 0], target, reduction="none")
        return losses if weights is None else losses * weights

    def predict(self, outputs: Tensor) -> Tensor:
        """Return the positive class's probability (B, 1)."""
        return torch.sigmoid(outputs.double())

    def score(self, predictions: NDArray[np.float64], raw: Raw) -> dict[str, float]:
        """Return the metrics; an event is taken as positive if that is more probable than not."""
        encoded = self.encode(raw)
        probability = predictions[:, 0]
        predicted = (probability > 0.5).astype(np.int64)
        return {
            "accuracy": accuracy(encoded, predicted),
            "balanced_accuracy": balanced_accuracy(encoded, predicted),
            "log_loss": log_loss(encoded, probability),
            "roc_auc": roc_auc(encoded == 1, probability),
        }


def _classes(options: BinaryOptions, targets: Raw, class_names: tuple[str, ...] | None) -> tuple[int, ...]:
    names = options.class_names or class_names
    return tuple(sorted(pair(targets, options.negative, options.positive, names)))


def _summarise(
    options: BinaryOptions, targets: Raw, training_targets: Raw, class_names: tuple[str, ...] | None
) -> dict[str, Any]:
    names = options.class_names or class_names
    class_values(targets, names)
    chosen = pair(targets, options.negative, options.positive, names)
    class_indices(targets, sorted(chosen))
    return {"labels": list(chosen), "class_names": list(names_of(chosen, names))}


def _create(options: BinaryOptions, summary: Mapping[str, Any]) -> BinaryTask:
    negative, positive = summary["labels"]
    return BinaryTask(negative, positive, tuple(summary["class_names"]))


TASK = TaskKind(
    name="binary",
    options=BinaryOptions,
    stratified=True,
    classification=True,
    metrics=METRICS,
    default_metric="roc_auc",
    classes=_classes,
    summarise=_summarise,
    create=_create,
)
