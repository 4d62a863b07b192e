"""What a GPU does with our training: the tutorial's way, ours, larger batches, packed trials, and the floor.

    python -P benchmarks/gpu.py [--device cuda] [--quick] [--json FILE]

Everything trains the tutorial's network on random events of 38×16×40 (97 kB), float32 in a file and in memory. The
tutorial's way is an event-by-event `Dataset` in a DataLoader of 3 worker processes, batch 32, SGD, eager float32; ours
is the product's `Trainer` with its defaults: events on the GPU, bf16 autocast, the step in a CUDA graph. Both train in
turn, in each repeat; a ratio is that of the same repeat. Packed trials are processes that share the events' one copy
and train at once. The floor is the larger of the times that arithmetic and memory traffic need at the rates measured
here (`common/gpu_floor.py`). Goals: 30 times the tutorial's way, 3 times the trials per hour by packing, 0.6 of the
floor. GPU utilisation and power are those of the last repeat. It is made to take less than 8 minutes; `--device cpu
--quick` shows that it runs, and its figures mean nothing.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

sys.path.append(str(Path(__file__).parent / "common"))
from gpu_floor import bytes_per_event, floor_rate, flops_per_event
from gpu_packed import Packed, labels_of, made_trainer, random_events, random_images, rate_of
from gpu_tutorial import BATCH, tutorial_rate
from gpu_usage import Usage

GOALS = {"tutorial": 30.0, "packing": 3.0, "floor": 0.6}
BATCHES = (32, 64, 128, 256, 512, 1024)
TRIALS = (1, 2, 4, 8, 16)
PACKED_BATCH = 64


def spread(values: Sequence[float]) -> str:
    """Median, and lowest to highest."""
    return f"{_figure(median(values))} ({_figure(min(values))}–{_figure(max(values))})"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def line(name: str, rate: str, *others: str) -> None:
    """Print a row of the table."""
    print(f"{name:34} {rate:>30} {' '.join(f'{other:>22}' for other in others)}", flush=True)


def sides(device: torch.device, repeats: int, seconds: float, count: int, usage: Usage) -> dict[str, list[float]]:
    """Print and return events per second of both sides, in turn."""
    rates: dict[str, list[float]] = {"tutorial": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events"
        random_images(count).tofile(path)
        trainer = made_trainer(random_events(count, device), BATCH, device)
        for _ in range(repeats):
            with usage.measured() as used:
                rates["tutorial"].append(tutorial_rate(path, labels_of(count), device, seconds))
            with usage.measured() as ours_used:
                rates["ours"].append(rate_of(trainer, seconds))
    ratios = [ours / theirs for ours, theirs in zip(rates["ours"], rates["tutorial"], strict=True)]
    line("tutorial's way, batch 32", spread(rates["tutorial"]), "1", used.words())
    line("ours, batch 32", spread(rates["ours"]), f"× {spread(ratios)}", ours_used.words())
    return rates | {"ratio": ratios}


def batch_sizes(device: torch.device, sizes: Sequence[int], seconds: float, floor: float, usage: Usage) -> Any:
    """Print and return our events per second by batch size, and their share of the floor."""
    found = {}
    for size in sizes:
        trainer = made_trainer(
            random_events(max(4096, 4 * size) if device.type == "cuda" else 2 * size, device), size, device
        )
        with usage.measured() as used:
            found[size] = rate_of(trainer, seconds)
        share = found[size] / floor
        line(f"ours, batch {size}", _figure(found[size]), f"{share:.3g} of the floor", used.words())
    return found


def packed(device: torch.device, counts: Sequence[int], seconds: float, usage: Usage) -> Any:
    """Print and return the events per second of all trials that train at once."""
    found: dict[int, float] = {}
    for count in counts:
        with Packed(count, PACKED_BATCH, device) as trials, usage.measured() as used:
            found[count] = trials.rate(seconds)
        gain = found[count] / found[counts[0]]
        line(f"{count} trials at once, batch {PACKED_BATCH}", _figure(found[count]), f"× {gain:.2f}", used.words())
    return found


def verdict(name: str, value: float, goal: float) -> None:
    """Print whether a goal is met."""
    print(f"{name}: {value:.3g}; goal {goal:g}: {'met' if value >= goal else 'missed'}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="does it run at all?")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    given = parser.parse_args()
    device = torch.device(given.device)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        parser.error("torch does not see this GPU here; --device cpu --quick only shows that this runs")
    torch.set_num_threads(1)
    repeats, seconds, count = (1, 0.5, 128) if given.quick else (given.repeats, 10.0, 8192)
    sizes, counts = (BATCHES[:2], TRIALS[:2]) if given.quick else (BATCHES, TRIALS)
    began, usage = time.monotonic(), Usage(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "CPU"
    print(f"torch {torch.__version__}, {name}, {repeats} repeats of {seconds:g} s")
    print(
        f"an event takes {flops_per_event() / 1e6:.0f} million operations and {bytes_per_event() / 1e6:.2f} MB at least"
    )
    arithmetic, memory, floor = floor_rate(device)
    line("floor", _figure(floor), f"arithmetic {_figure(arithmetic)}", f"memory {_figure(memory)}")
    rates = sides(device, repeats, seconds, count, usage)
    by_size = batch_sizes(device, sizes, seconds / 2, floor, usage)
    by_count = packed(device, counts, seconds / 2, usage)
    if device.type == "cuda":
        verdict("times the tutorial's way", median(rates["ratio"]), GOALS["tutorial"])
        verdict("times the trials per hour by packing", max(by_count.values()) / by_count[counts[0]], GOALS["packing"])
        verdict("of the floor", max(by_size.values()) / floor, GOALS["floor"])
    print(f"{time.monotonic() - began:.0f} s in all")
    if given.json:
        figures = {"device": name, "floor": floor, **rates, "batches": by_size, "packed": by_count}
        given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
