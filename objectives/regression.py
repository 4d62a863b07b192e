"""A number per event, such as its energy: mean squared or Huber loss on a standardised or logarithmic target."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import huber_loss, mse_loss

from objectives._labels import one_per_event, shown
from objectives._metrics import bias, mae, resolution, resolution_68, rmse
from objectives._task import Direction, Raw, TaskKind, everything
from storage.errors import DataError

Loss = Literal["mse", "huber"]
Target = Literal["standardised", "log"]

METRICS: dict[str, Direction] = {
    "rmse": "minimize",
    "mae": "minimize",
    "resolution": "minimize",
    "resolution_68": "minimize",
    "bias": "minimize",
}


@dataclass(frozen=True)
class RegressionOptions:
    """What a study may set.

    Attributes:
        loss: mean squared error, or Huber's: squared up to `delta`, linear beyond, so outliers weigh less.
        delta: in standard deviations of the (logarithmic) training targets, above 0; used by Huber's loss alone.
        target: the network learns the value or its natural logarithm, shifted and scaled to mean 0 and deviation 1
            over the training events. `log` needs values above 0 and suits a relative resolution.
    """

    loss: Loss = "mse"
    delta: float = 1.0
    target: Target = "standardised"

    def __post_init__(self) -> None:
        for name, given, accepted in (("loss", self.loss, Loss), ("target", self.target, Target)):
            if given not in get_args(accepted):
                raise ValueError(f"{name} is {given!r}; accepted are {', '.join(get_args(accepted))}")
        if not 0 < self.delta < float("inf"):
            raise ValueError(f"delta is {self.delta}; it must be a number above 0")


@dataclass(frozen=True)
class RegressionTask:
    """One output: (f(value) - mean) / deviation, where f is the identity or the natural logarithm.

    `mean` and `deviation` are those of f over the training events.
    """

    options: RegressionOptions
    mean: float
    deviation: float
    outputs: int = 1
    classes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ("prediction",)

    @property
    def metrics(self) -> Mapping[str, Direction]:
        """As listed at the top of this file."""
        return METRICS

    @property
    def default_metric(self) -> str:
        """The one of the kind."""
        return TASK.default_metric

    def encode(self, raw: Raw) -> NDArray[np.float32]:
        """Return what the network learns, (N, 1).

        Raises:
            DataError: a value is not finite, or not above 0 where its logarithm is learned.
        """
        scaled = (_transformed(raw, self.options.target) - self.mean) / self.deviation
        return scaled.astype(np.float32)[:, None]

    def loss(
        self, outputs: Tensor, encoded: Tensor, weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Tensor:
        """Return the loss of each event (B,), in squared deviations; label smoothing means nothing here."""
        if self.options.loss == "huber":
            losses = huber_loss(outputs, encoded, reduction="none", delta=self.options.delta)[:, 0]
        else:
            losses = mse_loss(outputs, encoded, reduction="none")[:, 0]
        return losses if weights is None else losses * weights

    def predict(self, outputs: Tensor) -> Tensor:
        """Return values in target units (B, 1); the exponential of a wild output may be infinite."""
        values = outputs.double() * self.deviation + self.mean
        return values.exp() if self.options.target == "log" else values

    def score(self, predictions: NDArray[np.float64], raw: Raw) -> dict[str, float]:
        """Return the metrics, all in target units or relative to the true value."""
        true = one_per_event(raw).astype(np.float64)
        predicted = predictions[:, 0]
        with np.errstate(over="ignore", invalid="ignore"):  # infinite predictions give infinite or NaN metrics
            return {
                "rmse": rmse(predicted, true),
                "mae": mae(predicted, true),
                "resolution": resolution(predicted, true),
                "resolution_68": resolution_68(predicted, true),
                "bias": bias(predicted, true),
            }


def _transformed(raw: Raw, target: Target) -> NDArray[np.float64]:
    values = one_per_event(raw).astype(np.float64)
    usable = np.isfinite(values)
    accepted = "finite numbers"
    if target == "log":
        usable &= values > 0
        accepted = "finite numbers above 0, since their logarithm is learned"
    if not usable.all():
        raise DataError(
            f"{int((~usable).sum())} of {len(values)} targets are {shown(np.unique(values[~usable]))}; "
            f"accepted are {accepted}; leave those events out with a selection"
            + (", or set target: standardised" if target == "log" and np.isfinite(values).all() else "")
        )
    return np.log(values) if target == "log" else values


def _summarise(
    options: RegressionOptions, targets: Raw, training_targets: Raw, class_names: tuple[str, ...] | None
) -> dict[str, Any]:
    _transformed(targets, options.target)
    learned = _transformed(training_targets, options.target)
    if len(learned) < 2 or learned.min() == learned.max():
        found = f"all {len(learned)} training targets are equal" if len(learned) else "there are no training targets"
        raise DataError(f"{found}; a regression needs at least two different values")
    return {"mean": float(learned.mean()), "deviation": float(learned.std())}


def _create(options: RegressionOptions, summary: Mapping[str, Any]) -> RegressionTask:
    return RegressionTask(options, summary["mean"], summary["deviation"])


TASK = TaskKind(
    name="regression",
    options=RegressionOptions,
    stratified=False,
    classification=False,
    metrics=METRICS,
    default_metric="rmse",
    classes=everything,
    summarise=_summarise,
    create=_create,
)
