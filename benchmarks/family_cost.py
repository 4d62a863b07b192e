"""What training costs over random suggestions from the families' default ranges, on one CPU thread.

Draws a family, its hyperparameters and a batch size at random, trains a few batches of random events (forward,
backward, fused Adam step; float32, channels_last) and prints events per second and seconds per 10,000 events.

    python benchmarks/family_cost.py --draws 60 --json costs.json
"""

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import optuna
import torch
from torch import nn

from models._family import Shape, families
from models._hyperparameters import suggest

BATCH_SIZES = (32, 64, 128, 256)
OUTPUTS = 3


@dataclass(frozen=True)
class Draw:
    """One network's cost; `seconds` are per 10,000 training events."""

    family: str
    hyperparameters: dict[str, Any]
    batch_size: int
    parameters: int
    events_per_second: float
    seconds: float


def step_seconds(network: nn.Module, batch: torch.Tensor, batches: int) -> float:
    """Return the median time of a training step, after one that is not counted."""
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    target = torch.randint(OUTPUTS, (len(batch),))
    times = []
    for _ in range(batches + 1):
        start = time.perf_counter()
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(network(batch), target))
        optimizer.step()
        times.append(time.perf_counter() - start)
    return median(times[1:])


def measure(trial: optuna.Trial, shape: Shape, batches: int) -> Draw:
    """Draw and train one network."""
    family = families()[trial.suggest_categorical("model", sorted(families()))]
    hyperparameters = suggest(family.hyperparameters, trial, f"{family.name}.")
    batch_size = trial.suggest_categorical("batch_size", BATCH_SIZES)
    network = family.build(hyperparameters, shape, OUTPUTS)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's overloads leave it out
    batch = torch.randn(batch_size, *shape).to(memory_format=torch.channels_last)
    rate = batch_size / step_seconds(network, batch, batches)
    parameters = sum(weight.numel() for weight in network.parameters())
    return Draw(family.name, asdict(hyperparameters), batch_size, parameters, rate, 10_000 / rate)


def row(name: str, draws: Sequence[Draw]) -> str:
    """Return a line of the table."""
    parameters = [draw.parameters for draw in draws]
    rates = [draw.events_per_second for draw in draws]
    seconds = [draw.seconds for draw in draws]
    return (
        f"{name:10}{len(draws):6}{min(parameters):12,}{median(parameters):12,.0f}{max(parameters):12,}"
        f"{min(rates):9.0f}{median(rates):8.0f}{max(rates):8.0f}{median(seconds):10.1f}{max(seconds):8.1f}"
    )


def table(draws: Sequence[Draw]) -> Iterable[str]:
    """Return the lines of the table: one per family, one for all, and the costliest network."""
    yield f"{'':16}{'parameters':>36}{'events/s':>25}{'s per 10,000':>18}"
    columns = f"{'min':>12}{'median':>12}{'max':>12}{'min':>9}{'median':>8}{'max':>8}{'median':>10}{'worst':>8}"
    yield f"{'family':10}{'draws':>6}{columns}"
    for name in sorted({draw.family for draw in draws}):
        yield row(name, [draw for draw in draws if draw.family == name])
    yield row("all", draws)
    costliest = max(draws, key=lambda draw: draw.seconds)
    yield f"costliest: {costliest.family}, batch size {costliest.batch_size}, {costliest.hyperparameters}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Training cost over random suggestions, on one CPU thread.")
    parser.add_argument("--draws", type=int, default=60, help="networks")
    parser.add_argument("--batches", type=int, default=3, help="batches timed per network")
    parser.add_argument("--shape", type=int, nargs=3, default=(38, 16, 40), metavar=("C", "H", "W"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write every draw to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=options.seed))
    draws = [measure(study.ask(), tuple(options.shape), options.batches) for _ in range(options.draws)]
    print("\n".join(table(draws)))
    if options.json:
        options.json.write_text(json.dumps([asdict(draw) for draw in draws], indent=1))


if __name__ == "__main__":
    main()
