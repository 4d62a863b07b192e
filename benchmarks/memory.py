"""Predicted and measured memory of training, over random configurations of each family, on one CPU thread.

Each configuration trains an epoch of two steps in a process of its own, whose highest private memory counts. It is
predicted before, from shapes alone. On a GPU what its allocator holds at most counts.

    python -P benchmarks/memory.py --draws 20 --json memory.json
    python -P benchmarks/memory.py --device cuda:0
"""

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import torch
import torch._dynamo  # as in a worker; else the first optimizer imports it, and counts for more

from models._family import Family, Shape, families
from models._hyperparameters import suggest
from objectives._events import Events
from objectives._fit_settings import FitSettings
from objectives._footprint import predict_footprint
from objectives._learning import Learning
from objectives._source import MemorySource
from objectives._trainer import Trainer
from objectives.multiclass import TASK
from study._admission import cpu_bytes
from study._probing import DEFAULT
from study._random import RandomSuggester

OUTPUTS = 3
MIB = 2**20


@dataclass(frozen=True)
class Draw:
    """One configuration; memory in MiB, the prediction's time in milliseconds."""

    family: str
    hyperparameters: dict[str, Any]
    learning: dict[str, Any]
    predicted_mb: float
    measured_mb: float
    prediction_ms: float

    @property
    def ratio(self) -> float:
        """Measured to predicted."""
        return self.measured_mb / self.predicted_mb


def train(family: Family[Any], values: Any, learning: Learning, shape: Shape, device: str, answer: Any) -> None:
    """Train two steps and send the bytes that this process took for it."""
    torch.set_num_threads(1)
    channels, height, width = shape
    count = 2 * learning.batch_size + 1
    images = np.random.default_rng(0).random((count, height, width, channels), dtype=np.float32)
    targets = np.arange(count) % OUTPUTS
    events = Events(MemorySource(images), targets, "NHWC")
    task = TASK.create(TASK.options(), TASK.summarise(TASK.options(), targets, targets, None))
    settings = FitSettings(epochs=1, seed=0, metric=task.default_metric, direction="maximize", device=device)
    before = psutil.Process().memory_info().rss
    network = family.build(values, shape, OUTPUTS)
    trainer = Trainer(network, task, learning, settings, events, events, lambda inputs: inputs)
    trainer.run_epoch(lambda: False)
    if device != "cpu":
        answer.send(torch.cuda.max_memory_reserved(device))
    else:
        answer.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before)


def measured(family: Family[Any], values: Any, learning: Learning, shape: Shape, device: str = "cpu") -> int:
    """Bytes that the training took, in a fresh process."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=train, args=(family, values, learning, shape, device, theirs))
    process.start()
    theirs.close()
    taken: int = ours.recv()
    process.join()
    return taken


def draw(family: Family[Any], suggester: RandomSuggester, shape: Shape, device: str = "cpu") -> Draw:
    """Predict and train one configuration."""
    values = suggest(family.hyperparameters, suggester, f"{family.name}.")
    learning = suggest(Learning, suggester)
    began = time.perf_counter()
    build = partial(family.build, values, shape, OUTPUTS)
    footprint = predict_footprint(build, shape, learning, half=device != "cpu")
    took_ms = 1000 * (time.perf_counter() - began)
    predicted = cpu_bytes(footprint) if device == "cpu" else DEFAULT(footprint.total)
    taken = measured(family, values, learning, shape, device)
    return Draw(family.name, asdict(values), asdict(learning), predicted / MIB, taken / MIB, took_ms)


def row(name: str, draws: Sequence[Draw]) -> str:
    """Return a line of the table."""
    predicted = sorted(draw.predicted_mb for draw in draws)
    ratios = sorted(draw.ratio for draw in draws)
    times = sorted(draw.prediction_ms for draw in draws)
    return (
        f"{name:10}{len(draws):6}{predicted[0]:11.0f}{median(predicted):9.0f}{predicted[-1]:9.0f}"
        f"{ratios[0]:13.2f}{median(ratios):8.2f}{ratios[-1]:8.2f}{median(times):12.0f}{times[-1]:8.0f}"
    )


def table(draws: Sequence[Draw]) -> Iterable[str]:
    """Return the lines of the table: one per family, and one for all."""
    yield f"{'':16}{'predicted, MiB':>29}{'measured / predicted':>29}{'prediction, ms':>20}"
    columns = f"{'min':>11}{'median':>9}{'max':>9}{'min':>13}{'median':>8}{'max':>8}{'median':>12}{'worst':>8}"
    yield f"{'family':10}{'draws':>6}{columns}"
    for name in sorted({draw.family for draw in draws}):
        yield row(name, [draw for draw in draws if draw.family == name])
    yield row("all", draws)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Predicted and measured memory of training, on one CPU thread.")
    parser.add_argument("--draws", type=int, default=20, help="configurations of each family")
    parser.add_argument("--shape", type=int, nargs=3, default=(38, 16, 40), metavar=("C", "H", "W"))
    parser.add_argument("--device", default="cpu", help="cpu, or cuda:0 and so on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write every draw to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    suggester = RandomSuggester(options.seed)
    shape = tuple(options.shape)
    every = [family for family in families().values() for _ in range(options.draws)]
    draws = [draw(family, suggester, shape, options.device) for family in every]
    print("\n".join(table(draws)))
    if options.json:
        options.json.write_text(json.dumps([asdict(draw) for draw in draws], indent=1))


if __name__ == "__main__":
    main()
