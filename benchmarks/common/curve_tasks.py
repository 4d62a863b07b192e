"""The four tasks whose learning curves are recorded, and the space from which their configurations are drawn."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from sklearn.datasets import load_digits

from study.loading import validated
from study.plan import Plan, build_plan

EPOCHS = 27
"""The rungs of halving by 3 are 1, 3 and 9."""
CHOSEN_ON, REPORTED_ON = ("digits", "particle"), ("few_digits", "energy")
"""Defaults are chosen on the first, and what they gain is reported on the second."""
TASKS = (*CHOSEN_ON, *REPORTED_ON)
DIRECTIONS = {"digits": "maximize", "particle": "maximize", "few_digits": "maximize", "energy": "minimize"}
EVENTS, SEED = 1200, 11

SPACE: dict[str, Any] = {
    "model": "cnn",
    "cnn.depth": {"int": [1, 4]},
    "cnn.width": {"int": [4, 32], "log": True},
    "cnn.kernel": {"choice": [3, 5]},
    "cnn.stride": 2,
    "cnn.growth": 1.5,
    "cnn.pooling": "max",
    "cnn.window": 2,
    "cnn.batchnorm": {"choice": [True, False]},
    "cnn.activation": "relu",
    "cnn.readout": "mean",
    "cnn.head": {"int": [0, 1]},
    "cnn.head_width": 64,
    "cnn.dropout": {"float": [0.0, 0.5]},
    "optimizer": {"choice": ["sgd", "adam", "adamw"]},
    "lr": {"float": [1e-5, 1.0], "log": True},
    "momentum": {"float": [0.8, 0.99]},
    "weight_decay": 1e-4,
    "schedule": {"choice": ["constant", "cosine"]},
    "batch_size": {"choice": [32, 64, 128]},
    "normalize": {"choice": ["none", "standard", "log1p"]},
    "flip_horizontal": False,
    "flip_vertical": False,
    "rotate": False,
}


def tree(task: str) -> dict[str, Any]:
    """The study file of a task; its data lie in the same folder."""
    common: dict[str, Any] = {"training": {"epochs": EPOCHS}, "space": SPACE, "search": {"pruner": "none"}}
    if "digits" in task:
        few = {"validation": 0.5, "test": 0.35} if task == "few_digits" else {"validation": 0.3, "test": 0.3}
        data = {"path": "digits.h5", "events": "images", "axes": "NHW", "target": "digit", "split": few}
        return common | {"study": {"name": task, "seed": SEED}, "data": data}
    data = {"path": "events.h5", "split": {"validation": 0.4, "test": 0.1}}
    if task == "particle":
        return common | {"study": {"name": task, "seed": SEED}, "data": data}
    return common | {
        "study": {"name": task, "seed": SEED, "metric": "mae"},
        "data": data | {"target": "energies"},
        "objective": {"name": "regression", "target": "log", "loss": "huber"},
    }


def make_data(folder: Path) -> None:
    """Write the digits, and simulate the events, unless they are there."""
    from study.generation import write_simulation

    if not (folder / "digits.h5").exists():
        digits = load_digits()
        with h5py.File(folder / "digits.h5", "w") as file:
            file["images"] = (digits.images / 16).astype(np.float32)
            file["digit"] = digits.target.astype(np.int64)
    if not (folder / "events.h5").exists():
        write_simulation(folder / "events.h5", EVENTS, SEED)


def plan_of(task: str, seed: int = SEED, sampler: dict[str, Any] | None = None) -> Plan:
    """The task's study with a sampler; the budget is large, for TPE's start-up to be that of a large study."""
    study = tree(task)
    study["study"] = study["study"] | {"seed": seed}
    study["budget"] = {"trials": 1000}
    study["search"] = {"sampler": sampler or {"name": "random"}, "pruner": "none"}
    return build_plan(validated(study, default_name=task, source="the benchmark"), Path())
