"""Record learning curves: random configurations of CNNs, each trained to its end by a trial's own code.

    python -P benchmarks/record_curves.py TASK --trainings 300 [--folder F] [--seed 0]

Writes `benchmarks/curves/TASK.npz`: the parameters as JSON, the metric of the validation events after each epoch
(float32, NaN where the loss was no number) and the seconds of an epoch (median, one thread). What is there already is
kept and continued, so it can be interrupted at any time.
"""

import argparse
import io
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.append(str(Path(__file__).parent / "common"))
from curve_tasks import EPOCHS, TASKS, make_data, tree

from objectives._errors import NonFiniteLoss
from study._random import RandomSuggester
from study._training import TrialData, TrialRun, load_trial_data
from study.loading import validated
from study.plan import Facts, Plan, build_plan, gather_facts, open_data

SAVED_EVERY_S = 20.0


def curve(plan: Plan, facts: Facts, data: TrialData, number: int, sampled: dict[str, Any]) -> tuple[list[float], float]:
    """The metric after each epoch, and the median seconds of one."""
    run = TrialRun(plan, facts, number, sampled, "cpu")
    values, seconds = [], []
    try:
        for result in run.epochs(data, should_stop=lambda: False):
            values.append(result.metrics[plan.metric])
            seconds.append(result.seconds)
    except NonFiniteLoss:
        pass
    return values + [math.nan] * (EPOCHS - len(values)), float(np.median(seconds)) if seconds else math.nan


def save(path: Path, rows: list[dict[str, Any]], curves: list[list[float]], seconds: list[float]) -> None:
    """Write beside and rename."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        parameters=np.frombuffer(json.dumps(rows).encode(), np.uint8),
        curves=np.array(curves, np.float32),
        seconds=np.array(seconds, np.float32),
    )
    beside = path.with_suffix(".part")
    beside.write_bytes(buffer.getvalue())
    os.replace(beside, path)


def main() -> None:
    """Record what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--trainings", type=int, default=300)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent / "curves")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.folder.mkdir(exist_ok=True)
    make_data(args.folder)
    torch.set_num_threads(1)
    plan = build_plan(validated(tree(args.task), default_name=args.task, source="the task"), args.folder.absolute())
    facts = gather_facts(plan, open_data(plan))
    data = load_trial_data(plan, facts)
    path = args.folder / f"{args.task}.npz"
    rows: list[dict[str, Any]] = []
    curves: list[list[float]] = []
    seconds: list[float] = []
    if path.exists():
        with np.load(path) as known:
            rows = json.loads(known["parameters"].tobytes())
            curves, seconds = known["curves"].tolist(), known["seconds"].tolist()
    saved = time.monotonic()
    for number in range(len(rows), args.trainings):
        sampled = plan.space.sample(RandomSuggester(1000 * args.seed + number))
        values, took = curve(plan, facts, data, number, sampled)
        rows.append(sampled)
        curves.append(values)
        seconds.append(took)
        if time.monotonic() - saved > SAVED_EVERY_S or number == args.trainings - 1:
            save(path, rows, curves, seconds)
            saved = time.monotonic()
            print(f"{args.task}: {number + 1} of {args.trainings}", flush=True)


if __name__ == "__main__":
    main()
