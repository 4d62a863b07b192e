"""The study of a drill: a few events and a small network, in a folder of its own."""

from pathlib import Path

import h5py
import numpy as np

from study.loading import validated
from study.plan import Plan, build_plan
from study.stored import create_or_update

LEASE_S = 3.0
EVENTS, EPOCHS = 240, 8


def create_scratch_study(url: str, folder: Path, name: str, *, trials: int, seed: int) -> Plan:
    """Write the events and create the study.

    Its halving has a rung, and so a checkpoint, at epochs 1, 2 and 4.

    Raises:
        DatabaseError: The database cannot be used.
    """
    _write_events(folder / "events.h5", seed)
    tree = {
        "study": {"name": name, "seed": seed},
        "budget": {"trials": trials},
        "data": {"path": "events.h5", "split": {"validation": 0.25, "test": 0.0}},
        "training": {"epochs": EPOCHS},
        "space": {
            "model": "study.drill.family:FAMILY",
            "optimizer": {"choice": ["sgd", "adam", "adamw", "rmsprop"]},
            "batch_size": {"choice": [32, 64]},
            "flip_horizontal": {"choice": [True, False]},
        },
        "search": {"sampler": {"name": "random"}, "pruner": {"name": "asha", "reduction_factor": 2, "pause": True}},
        "retry": {"lost": 1000},
        "lease": {"seconds": LEASE_S, "renew": LEASE_S / 3, "patience": 120},
        "checkpoint": {"dir": str(folder / "files"), "keep": 100_000},
    }
    plan = build_plan(validated(tree, default_name=name, source="the drill's study"), folder)
    create_or_update(url, plan)
    return plan


def _write_events(path: Path, seed: int) -> None:
    """Three classes of 8×8×2 events that differ in their mean, but not by much."""
    generator = np.random.default_rng(seed)
    labels = np.arange(EVENTS) % 3
    noise = generator.normal(size=(EVENTS, 8, 8, 2))
    with h5py.File(path, "w") as file:
        file["event_data"] = (noise + 0.2 * labels[:, None, None, None]).astype(np.float32)
        file["labels"] = labels
