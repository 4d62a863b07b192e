"""The steady part of `overhead.py`: the same trials bare, by the service, and by stock Optuna."""

import dataclasses
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from timed_notes import Noted, Spread, read_notes, trials_of
from timed_study import Scratch
from torch import nn

from models import cnn

SHAPE = (38, 16, 40)
NETWORK = {"depth": 3, "width": 8, "growth": 1.5, "kernel": 3, "stride": 1, "pooling": "max", "window": 2}
NETWORK |= {"batchnorm": True, "activation": "relu", "readout": "mean", "head": 1, "head_width": 64, "dropout": 0.0}
LEARNING = {"batch_size": 64, "normalize": "standard"} | dict.fromkeys(
    ("flip_horizontal", "flip_vertical", "rotate"), False
)
SIDES = ("service", "bare", "optuna")
MS = 1000.0


def events_per_epoch(seconds: float) -> int:
    """How many events the network of `NETWORK` trains in so long, on one thread."""
    torch.set_num_threads(1)
    network = cnn.build(cnn.CNNHyperparameters(**NETWORK), SHAPE, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    batch = torch.randn(64, *SHAPE).to(memory_format=torch.channels_last)
    times = []
    for _ in range(20):
        began = time.perf_counter()
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(network(batch), torch.zeros(64, dtype=torch.long)))
        optimizer.step()
        times.append(time.perf_counter() - began)
    return min(8192, max(128, int(0.95 * 64 * seconds / median(times))))


def steady_tree(data: Path, trials: int, epochs: int) -> dict[str, Any]:
    """The study whose trials all sides train."""
    constants = {f"timed_cnn.{name}": value for name, value in NETWORK.items()}
    return {
        "budget": {"trials": trials},
        "data": {"path": str(data)},
        "training": {"epochs": epochs},
        "space": {"model": "timed_family.py:CNN", **constants, **LEARNING},
        "search": {"pruner": "none"},
    }


def steady_repeat(folder: Path, tree: dict[str, Any], order: tuple[str, ...], job: dict[str, Any]) -> dict[str, Any]:
    """Run each side once; start-up and the trials of each. The first service run fills `job`."""
    sides: dict[str, Any] = {}
    values: dict[str, list[float]] = {}
    for side in order:
        scratch = Scratch(folder / side, tree)
        if side == "service":
            began = scratch.launch()
            drawn = scratch.job()
            job.update(drawn if not job else {})
            if drawn["trials"] != job["trials"]:
                raise RuntimeError("the service has drawn other trials than before")
            values[side] = [float(trial.value or 0.0) for trial in scratch.trials()]
        else:
            began, values[side] = scratch.side(side, job)
        trials = trials_of(read_notes(scratch.notes))
        sides[side] = {"start_s": trials[0].begin - began, "trials": trials}
    if not values["service"] == values["bare"] == values["optuna"]:
        raise RuntimeError(f"the sides disagree about the trials' values: {values}")
    return sides


def steady(folder: Path, tree: dict[str, Any], repeats: int) -> dict[str, Any]:
    """Repeat, with the sides in another order each time; print and return what came of it."""
    job: dict[str, Any] = {}
    runs = []
    for repeat in range(repeats):
        order = SIDES[repeat % 3 :] + SIDES[: repeat % 3]
        runs.append(steady_repeat(folder / f"steady-{repeat}", tree, order, job))
    print(f"\nsteady, {repeats} repeats; ratios: median (lowest–highest); ms between epochs and trials: p50 and max")
    columns = f"{'s/trial':>9}{'ratio to bare':>26}{'between epochs':>18}{'between trials':>18}{'to 1st step, s':>16}"
    print(f"  {'':8}{columns}")
    return {side: steady_side(side, runs) for side in ("bare", "service", "optuna")}


def per_trial(trials: list[Noted]) -> float:
    """Seconds from a trial's first step to the next one's, over all of them."""
    return (trials[-1].begin - trials[0].begin) / (len(trials) - 1)


def between(trials: list[Noted]) -> list[float]:
    """Seconds from a trial's last validation batch to the next trial's first step."""
    return [later.begin - earlier.end for earlier, later in pairwise(trials)]


def added(run: dict[str, Any], side: str) -> float:
    """By how much the pauses alone make a side's trials longer than bare ones, as a ratio to these."""
    both = [sum(sum(t.pauses) for t in run[s]["trials"][:-1]) + sum(between(run[s]["trials"])) for s in (side, "bare")]
    bare = run["bare"]["trials"]
    return 1 + (both[0] - both[1]) / (bare[-1].begin - bare[0].begin)


def steady_side(side: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Print and return one side's row."""
    trials = [run[side]["trials"] for run in runs]
    ratios = Spread.of([per_trial(run[side]["trials"]) / per_trial(run["bare"]["trials"]) for run in runs])
    pauses = Spread.of([pause for run in trials for trial in run for pause in trial.pauses], MS)
    gaps = Spread.of([gap for run in trials for gap in between(run)], MS)
    found = {
        "s_per_trial": Spread.of([per_trial(run) for run in trials]),
        "ratio": ratios,
        "ratio_by_pauses": Spread.of([added(run, side) for run in runs]),
        "between_epochs_ms": pauses,
        "between_trials_ms": gaps,
        "to_first_step_s": Spread.of([run[side]["start_s"] for run in runs]),
    }
    ratio = f"{ratios.p50:.4f} ({ratios.min:.4f}–{ratios.max:.4f})"
    print(
        f"  {side:8}{found['s_per_trial'].p50:9.3f}{ratio:>26}{pauses.p50:10.1f}{pauses.max:8.1f}"
        f"{gaps.p50:10.1f}{gaps.max:8.1f}{found['to_first_step_s'].p50:16.2f}"
    )
    if side != "bare":
        print(f"  {'':8}by these pauses alone the ratio is {found['ratio_by_pauses'].p50:.4f}")
    return {name: dataclasses.asdict(spread) for name, spread in found.items()}
