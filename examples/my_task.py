"""A task of one's own: `objective: {name: my_task.py:FOCAL, gamma: 2.0}` in the study file beside it.

It classifies like `multiclass`, with a loss that weighs events less the surer the network is of them.
Source: T.-Y. Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from objectives.multiclass import TASK, MulticlassOptions, MulticlassTask


@dataclass(frozen=True)
class FocalOptions(MulticlassOptions):
    """What a study may set: `gamma` 0 gives the cross-entropy, larger values look more at hard events."""

    gamma: float = 2.0

    def __post_init__(self) -> None:
        if self.gamma < 0:
            raise ValueError(f"gamma is {self.gamma}; it must be a number from 0 up")
        super().__post_init__()


@dataclass(frozen=True)
class FocalTask(MulticlassTask):
    """Several classes, with the focal loss."""

    gamma: float = 2.0

    def loss(
        self, outputs: Tensor, encoded: Tensor, weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Tensor:
        """Return (1 - p)^gamma times the cross-entropy of each event (B,), p the probability of the true class."""
        losses = super().loss(outputs, encoded, weights, label_smoothing)
        probability = outputs.softmax(dim=1).gather(1, encoded[:, None])[:, 0]
        return (1 - probability) ** self.gamma * losses


def create(options: FocalOptions, summary: Mapping[str, Any]) -> FocalTask:
    """Return the task that the summary of the targets describes."""
    return FocalTask(tuple(summary["labels"]), tuple(summary["class_names"]), gamma=options.gamma)


FOCAL = replace(TASK, name="focal", options=FocalOptions, create=create)
