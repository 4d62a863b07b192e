"""Every default of a training step against its alternatives: layout, optimizer, precision, threads, compilation.

    python -P benchmarks/train_step.py [--quick] [--json FILE] [--networks cnn mlp] [--parts steps evaluation]
    python -P benchmarks/train_step.py --device cuda

One thing at a time is done otherwise than the default, in the product's own `Trainer` (`common/step_variants.py`), with
batches of 64 random events of 38×16×40 that come from memory through our data path. Each repeat trains all variants
of a network in turn; a ratio is a variant's events/s to the default's of the same repeat, so above 1 the variant is
faster. Printed are the median of the ratios and their lowest and highest.

Parts: `steps`, one process with one thread; `threads`, one or two processes at once with one or two threads each;
`compile`, torch.compile in a process of its own with a time limit; `evaluation`, its share of an epoch's time with a
tenth of the events for validation (at most 5 % is wanted), and its own variants.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

sys.path.append(str(Path(__file__).parent / "common"))
from step_evaluation import epoch_shares, evaluation_times, timed
from step_processes import measure_compiled, thread_rates, two_workers
from step_variants import (
    BATCH,
    NETWORKS,
    as_wanted,
    cpu_variants,
    cuda_variants,
    make_trainer,
    random_events,
    train_epoch,
)

PARTS = ("steps", "threads", "compile", "evaluation")
MOST_BATCHES = 24
GOAL = 0.05
"""Of an epoch's time, for evaluation."""


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def row(name: str, of: dict[str, float], unit: str = "") -> str:
    """A line of the table."""
    return f"  {name:34}{of['median']:9.3f}  ({of['min']:.3f}–{of['max']:.3f}){unit}"


def ratios(rates: dict[str, list[float]], name: str, against: str) -> dict[str, float]:
    """A variant's rates as ratios to another's of the same repeats."""
    return spread([one / other for one, other in zip(rates[name], rates[against], strict=True)])


def batches_for(network: str, device: str, seconds: float) -> int:
    """How many batches the default trains in so long."""
    events = random_events(2 * BATCH)
    trainer = make_trainer(network, cpu_variants()[0], events, events, device)
    timed(lambda: train_epoch(trainer), trainer.device)
    step = min(timed(lambda: train_epoch(trainer), trainer.device) for _ in range(3)) / 2
    return min(MOST_BATCHES, max(2, round(seconds / step)))


def step_rates(network: str, device: str, repeats: int, batches: int) -> dict[str, dict[str, float]]:
    """Print and return the ratios of each variant; of the default, events per second."""
    variants = cuda_variants() if device.startswith("cuda") else cpu_variants()
    events = {axes: random_events(batches * BATCH, axes) for axes in {variant.axes for variant in variants}}
    few = {axes: random_events(BATCH, axes) for axes in events}
    trainers = [make_trainer(network, v, events[v.axes], few[v.axes], device) for v in variants]
    rates: dict[str, list[float]] = {variant.name: [] for variant in variants}
    for repeat in range(repeats + 1):
        for index in range(len(variants)):
            at = (index + repeat) % len(variants)
            trainer, variant = trainers[at], variants[at]
            with as_wanted(trainer, variant):
                seconds = timed(lambda trainer=trainer: train_epoch(trainer), trainer.device)
            if repeat:  # the first makes buffers, the optimizer's state and oneDNN's kernels
                rates[variant.name].append(len(trainer.training) / seconds)
    found = {"default": spread(rates["default"])}
    print(f"  {'default, events/s':34}{found['default']['median']:9.0f}")
    for variant in variants[1:]:
        found[variant.name] = ratios(rates, variant.name, variant.against)
        beside = "" if variant.against == "default" else f"  to {variant.against}"
        print(row(variant.name, found[variant.name], beside))
    return found


def thread_ratios(rates: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Print and return the ratios to one worker with one thread; of that, events per second."""
    base = next(iter(rates))
    found = {base: spread(rates[base])}
    print(f"  {base + ' worker × thread, events/s':34}{found[base]['median']:9.0f}")
    for name in list(rates)[1:]:
        found[name] = ratios(rates, name, base)
        print(row(f"{name}, all together", found[name]))
    return found


def compile_ratios(network: str, device: str, repeats: int, batches: int, limit_s: float) -> dict[str, Any]:
    """Print and return what torch.compile gains and costs."""
    found = measure_compiled(network, device, repeats, batches, limit_s)
    if "error" in found:
        print(f"  {'torch.compile':34}{'':9}  {found['error']}")
        return found
    found["ratio"] = spread(found.pop("ratios"))
    times = f"  compiling: {found['compile_s']:.1f} s, evaluation {found['compile_evaluation_s']:.1f} s more"
    print(row("torch.compile", found["ratio"], times))
    return found


def evaluation_costs(network: str, device: str, repeats: int, batches: int) -> dict[str, Any]:
    """Print and return evaluation's share of an epoch, and the ratios of its variants."""
    share = spread(epoch_shares(network, device, repeats, max(1, batches // 6)))
    verdict = "" if share["median"] <= GOAL else f"  above {GOAL:.0%}"
    print(row("evaluation's share of an epoch", share, verdict))
    rates = {name: [1 / s for s in times] for name, times in evaluation_times(network, device, repeats).items()}
    found = {name: ratios(rates, name, "default") for name in rates if name != "default"}
    for name, of in found.items():
        print(row(f"evaluation, {name}", of))
    return {"share": share, "variants": found}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1")
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.25, help="of each variant in each repeat")
    parser.add_argument("--compile-limit", type=float, default=90.0, help="seconds for each network")
    parser.add_argument("--quick", action="store_true", help="does it run at all?")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    given = parser.parse_args()
    if given.quick:
        given.repeats, given.seconds = 2, 0.05
    torch.set_num_threads(1)
    results: dict[str, Any] = {name: {} for name in given.networks}
    sizes = {name: batches_for(name, given.device, given.seconds) for name in given.networks}
    print(f"torch {torch.__version__}, {given.device}, batches of {BATCH}, {given.repeats} repeats")
    began = time.monotonic()
    for name in given.networks if "steps" in given.parts else []:
        print(f"\n{name}: one thread, ratio of events/s to the default's")
        results[name]["steps"] = step_rates(name, given.device, given.repeats, sizes[name])
    if "threads" in given.parts and given.device == "cpu":
        with two_workers() as workers:
            for name in given.networks:
                print(f"\n{name}: workers × threads")
                rates = thread_rates(workers, name, given.repeats, 2 * given.seconds)
                results[name]["threads"] = thread_ratios(rates)
    for name in given.networks if "evaluation" in given.parts else []:
        print(f"\n{name}: evaluation")
        results[name]["evaluation"] = evaluation_costs(name, given.device, given.repeats, sizes[name])
    for name in given.networks if "compile" in given.parts else []:
        print(f"\n{name}: torch.compile")
        results[name]["compile"] = compile_ratios(
            name, given.device, given.repeats, min(8, sizes[name]), given.compile_limit
        )
    print(f"\n{time.monotonic() - began:.0f} s in all")
    if given.json:
        given.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
