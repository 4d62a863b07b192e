"""The search that all systems run: one space, as a study file's section and as Optuna's `suggest` calls."""

from collections.abc import Mapping
from typing import Any, Protocol

EPOCHS = 27
"""At most, for each trial: the rungs of halving by 3 are 1, 3 and 9."""
REDUCTION = 3
OPTIMIZERS = ["sgd", "adam", "adamw"]
BATCH_SIZES = [32, 64, 128]
KERNELS = [3, 5]
NORMALIZATIONS = ["standard", "log1p", "per_channel"]
DEPTH, WIDTH = (2, 4), (8, 32)
DROPOUT, LR, MOMENTUM = (0.0, 0.5), (3e-4, 3e-2), (0.8, 0.99)

NETWORK: dict[str, Any] = {
    "growth": 1.5,
    "stride": 2,
    "pooling": "max",
    "window": 2,
    "batchnorm": True,
    "activation": "relu",
    "readout": "mean",
    "head": 1,
    "head_width": 64,
}
"""What is the same for all networks."""
LEARNING: dict[str, Any] = {
    "nesterov": True,
    "weight_decay": 1e-4,
    "schedule": "constant",
    "warmup": 0.0,
    "label_smoothing": 0.0,
    "flip_horizontal": False,
    "flip_vertical": False,
    "rotate": False,
}
"""What is the same for all trainings."""

SPACE: dict[str, Any] = {
    "model": "cnn",
    "cnn.depth": {"int": list(DEPTH)},
    "cnn.width": {"int": list(WIDTH), "log": True},
    "cnn.kernel": {"choice": KERNELS},
    "cnn.dropout": {"float": list(DROPOUT)},
    **{f"cnn.{name}": value for name, value in NETWORK.items()},
    "optimizer": {"choice": OPTIMIZERS},
    "lr": {"float": list(LR), "log": True},
    "momentum": {"float": list(MOMENTUM)},
    "batch_size": {"choice": BATCH_SIZES},
    "normalize": {"choice": NORMALIZATIONS},
    **LEARNING,
}
"""The section `space` of the study file; momentum counts for sgd only, as declared with it."""

SPLIT = {"validation": 0.15, "test": 0.25, "seed": 42}


class Suggester(Protocol):
    """What an Optuna trial and Ray's wrapper of one have in common."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """See Optuna."""
        ...

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """See Optuna."""
        ...

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """See Optuna."""
        ...


def suggest(trial: Suggester) -> dict[str, Any]:
    """Sample the space as a plain Optuna script does."""
    sampled = {
        "cnn.depth": trial.suggest_int("cnn.depth", *DEPTH),
        "cnn.width": trial.suggest_int("cnn.width", *WIDTH, log=True),
        "cnn.kernel": trial.suggest_categorical("cnn.kernel", KERNELS),
        "cnn.dropout": trial.suggest_float("cnn.dropout", *DROPOUT),
        "optimizer": trial.suggest_categorical("optimizer", OPTIMIZERS),
        "lr": trial.suggest_float("lr", *LR, log=True),
        "batch_size": trial.suggest_categorical("batch_size", BATCH_SIZES),
        "normalize": trial.suggest_categorical("normalize", NORMALIZATIONS),
    }
    if sampled["optimizer"] == "sgd":
        sampled["momentum"] = trial.suggest_float("momentum", *MOMENTUM)
    return sampled


def study_tree(data: str, *, seed: int, trials: int, epochs: int, search: Mapping[str, Any] | None) -> dict[str, Any]:
    """The study file."""
    tree: dict[str, Any] = {
        "study": {"name": "peer", "seed": seed},
        "budget": {"trials": trials},
        "data": {"path": data, "split": SPLIT},
        "training": {"epochs": epochs},
        "space": SPACE,
    }
    return tree if search is None else tree | {"search": dict(search)}
