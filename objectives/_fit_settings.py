"""What a training is told beside its hyperparameters, and what it answers after each epoch."""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from objectives._task import Direction

Precision = Literal["auto", "fp32", "bf16"]
ClassWeights = Literal["balanced"] | tuple[float, ...] | None

_DEVICE = re.compile(r"cpu|cuda(:\d+)?")


@dataclass(frozen=True)
class FitSettings:
    """How long, where and towards what a network is trained.

    Attributes:
        epochs: from 1 up; the schedule spans all of them, so another number is another training from the first step.
        seed: from 0 up; with the data and hyperparameters it determines every bit.
        metric: one of the task's; the best epoch is the first with the best value of it on the validation events.
        direction: which way the metric is better.
        early_stop: end after this many epochs without a better one; None never does.
        clip_norm: gradients are scaled down to this norm; None leaves them.
        class_weights: of the training loss. "balanced" weighs each class by events / (classes × its events); a tuple
            gives one weight per class in the order of the task's classes; None weighs all events alike.
        device: "cpu", "cuda" or "cuda:0", "cuda:1", …
        deterministic: on CUDA, only algorithms that give the same bits at every run; a CPU always does.
        precision: "bf16" computes under autocast; "auto" is fp32 on a CPU, bf16 on CUDA.
        cuda_graph: on CUDA, repeat the training step as a graph where that can be done.
    """

    epochs: int
    seed: int
    metric: str
    direction: Direction
    early_stop: int | None = None
    clip_norm: float | None = None
    class_weights: ClassWeights = None
    device: str = "cpu"
    deterministic: bool = True
    precision: Precision = "auto"
    cuda_graph: bool = True

    def __post_init__(self) -> None:
        _check("epochs", self.epochs, _whole(self.epochs, 1), "an integer from 1 up")
        _check("seed", self.seed, _whole(self.seed, 0), "an integer from 0 up")
        _check("metric", self.metric, bool(self.metric), "the name of a metric")
        _check("direction", self.direction, self.direction in get_args(Direction), "maximize or minimize")
        _check("early_stop", self.early_stop, _whole(self.early_stop, 1, none=True), "an integer from 1 up, or None")
        clip = self.clip_norm
        _check("clip_norm", clip, clip is None or 0 < clip < math.inf, "a number above 0, or None")
        _check(
            "class_weights", self.class_weights, _weights(self.class_weights), 'None, "balanced" or a tuple of numbers'
        )
        _check("device", self.device, _DEVICE.fullmatch(self.device) is not None, "cpu, cuda or cuda:0, cuda:1, …")
        _check("precision", self.precision, self.precision in get_args(Precision), "auto, fp32 or bf16")


@dataclass(frozen=True)
class EpochResult:
    """What one epoch of training gave.

    Attributes:
        epoch: from 1.
        training_loss: mean over the training events of the loss that was minimised, while it was minimised: with class
            weights, label smoothing, augmentation and dropout.
        validation_loss: mean over the validation events after the epoch, with none of these.
        metrics: of the validation events.
        learning_rate: of the epoch's last step.
        seconds: of training and validation. Of an epoch that was interrupted, the part after it.
        events_per_second: training alone; 0 if none of it was left after an interruption.
    """

    epoch: int
    training_loss: float
    validation_loss: float
    metrics: Mapping[str, float]
    learning_rate: float
    seconds: float
    events_per_second: float

    def to_json(self) -> dict[str, Any]:
        """Return the fields; `EpochResult(**result.to_json())` is equal."""
        return asdict(self)


def _whole(value: object, smallest: int, *, none: bool = False) -> bool:
    if value is None:
        return none
    return isinstance(value, int) and not isinstance(value, bool) and value >= smallest


def _weights(value: object) -> bool:
    if isinstance(value, tuple):
        return all(0 <= weight < math.inf for weight in value) and sum(value) > 0
    return value is None or value == "balanced"


def _check(name: str, value: object, accepted: bool, words: str) -> None:
    if not accepted:
        raise ValueError(f"{name} is {value!r}; it must be {words}")
