"""A simulated fleet on one PostgreSQL: agents of 8 workers that do all of an agent's database work and train nothing.

    python -P benchmarks/scale.py [--url postgresql://postgres@127.0.0.1/postgres] [--json scale.json]
    python -P benchmarks/scale.py --parts fleet --workers 8,32 --seconds 10
    python -P benchmarks/scale.py --parts growth,sampler --trials 100000

Three parts. `fleet`: for each number of workers one run as fast as it goes, which gives the capacity, and one with
simulated epochs so long that `--load` of that capacity is offered. Each agent is a process with a connection of its own
and makes an agent's calls in an agent's order; one launcher looks on. `growth`: one agent alone at 0, a quarter, half
and all of `--trials`: time, CPU, statements of each transaction, and what a new agent reads. `sampler`: the default
sampler's cost per trial, which an agent pays. Everything of the study has its default, but in `fleet` and `growth` the
sampler is random, which costs nearly nothing (`--sampler tpe` puts the default one into the fleet). An agent renews and
writes checkpoints as often per epoch as one with epochs of `--epoch-s` does. Clients and server share this machine's
cores. The benchmark makes a database `bench_scale` on the server, and drops it in the end; about 6 minutes.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna

sys.path.append(str(Path(__file__).parent / "common"))
from fleet import KINDS
from fleet_growth import Size, measure_growth
from fleet_run import FleetResult, run_fleet
from fleet_sampler import Sampling, measure_sampler
from fleet_server import Server

LONGEST_PACE_S = 15.0
"""Of a simulated epoch: paced runs last three."""
PARTS = ("fleet", "growth", "sampler")


def table(heads: list[str], rows: list[list[Any]]) -> None:
    """Print a table in Markdown; numbers with three digits."""
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for row in rows:
        print("| " + " | ".join(shown(cell) for cell in row) + " |", flush=True)
    print(flush=True)


def shown(cell: Any) -> str:
    """A cell's text."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def measure_fleet(server: Server, given: argparse.Namespace) -> list[FleetResult]:
    """For each number of workers as fast as it goes, then paced."""
    found = []
    for workers in given.workers:
        common = {"epoch_s": given.epoch_s, "sampler": given.sampler}
        fast = run_fleet(server, workers, pace_s=0.0, seconds=given.seconds, **common)
        found.append(fast)
        print_fleet([fast])
        if fast.epochs:
            pace_s = min(LONGEST_PACE_S, workers / (given.load * fast.epochs))
            found.append(run_fleet(server, workers, pace_s=pace_s, seconds=max(given.seconds, 3 * pace_s), **common))
            print_fleet(found[-1:])
    return found


def print_fleet(results: list[FleetResult]) -> None:
    """Rates, and percentiles by kind."""
    for result in results:
        pace = f"paced, epochs of {result.pace_s:.3g} s" if result.pace_s else "as fast as it goes"
        print(f"### {result.workers} workers, {pace}\n")
        trials = max(1e-9, result.trials * result.seconds)
        table(
            ["what", "measured"],
            [
                ["s measured", result.seconds],
                ["claims/s", result.rate("claim")],
                ["trials/s", result.trials],
                ["epochs/s", result.epochs],
                ["epochs/s offered", result.offered],
                ["connections", result.connections],
                ["client CPU ms per trial", 1000 * result.client_cpu_s / trials],
                ["server CPU ms per trial", 1000 * result.server_cpu_s / trials],
                ["client cores", result.client_cpu_s / result.seconds],
                ["server cores", result.server_cpu_s / result.seconds],
                ["cores used by others", result.others_cpu_s / result.seconds],
                ["errors / warnings", f"{sum(result.errors.values())} / {result.warnings}"],
                ["rolled back / deadlocks", f"{result.rollbacks} / {result.deadlocks}"],
                ["s until all were connected", result.start_s],
            ],
        )
        rows = [[kind, t.count, t.p50, t.p95, t.p99] for kind, t in result.times.items()]
        table(["ms", "times", "p50", "p95", "p99"], rows)
        for text, times in result.errors.items():
            print(f"{times} × {text}")


def print_growth(sizes: list[Size]) -> None:
    """Costs by size."""
    heads = [f"{size.trials:,}" for size in sizes]
    print("### One agent alone, by trials in the study\n")
    kinds = [kind for kind in KINDS if any(kind in size.costs for size in sizes)]
    for what, of in (
        ("p50 / p95, ms", lambda cost: f"{cost.wall.p50:.3g} / {cost.wall.p95:.3g}"),
        ("CPU ms of client + server", lambda cost: f"{cost.client_cpu_ms:.3g} + {cost.server_cpu_ms:.3g}"),
        ("transactions / statements", lambda cost: f"{cost.transactions:g} / {cost.statements:g}"),
    ):
        rows = [[kind, *(of(size.costs[kind]) if kind in size.costs else None for size in sizes)] for kind in kinds]
        table([what, *heads], rows)
    rows: list[list[Any]] = [
        ["database, MB", *(size.megabytes for size in sizes)],
        ["a claim with budget.gpu_hours: more ms", *(size.device_seconds_ms for size in sizes)],
    ]
    for name, part in (("all trials", "trials_read"), ("all rungs", "rungs_read"), ("summary", "summary")):
        readings = [getattr(size, part) for size in sizes]
        rows.append([f"a new agent reads {name}: s", *(reading.wall_s for reading in readings)])
        rows.append([f"a new agent reads {name}: CPU s", *(reading.cpu_s for reading in readings)])
        rows.append([f"a new agent reads {name}: MB kept", *(reading.kept_mb for reading in readings)])
        rows.append([f"a new agent reads {name}: MB at most", *(reading.peak_mb for reading in readings)])
    table(["what", *heads], rows)
    for size in sizes:
        for text, times in size.errors.items():
            print(f"{size.trials} trials: {times} × {text}")


def print_sampler(found: list[Sampling]) -> None:
    """A row per case."""
    print("### Sampling one trial with the default sampler\n")
    heads = [
        "trials",
        "running",
        "CPU ms",
        "ms",
        "server CPU ms",
        "statements",
        "transactions",
        "reading, CPU ms",
    ]
    table(heads, [list(asdict(case).values()) for case in found])


def numbers(text: str) -> list[int]:
    """Numbers between commas."""
    return [int(part) for part in text.split(",")]


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="postgresql://postgres@127.0.0.1/postgres", help="any database of the server")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--workers", type=numbers, default=[8, 32, 128, 512])
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="of each fleet's run; paced ones, 3 epochs at least"
    )
    parser.add_argument("--trials", type=int, default=10_000, help="the largest study of growth and sampler")
    parser.add_argument("--load", type=float, default=0.5, help="of the capacity, in the paced runs")
    parser.add_argument("--epoch-s", type=float, default=10.0, help="length of the epochs that are simulated")
    parser.add_argument("--sampler", default="random", help="in the fleet: random, or tpe for the default one")
    parser.add_argument("--repeats", type=int, default=5, help="of the sampler")
    parser.add_argument("--json", type=Path, help="write all figures there")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    given = parsed()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    server, parts = Server(given.url), given.parts.split(",")
    server.check_unused()
    found: dict[str, Any] = {"settings": server.settings(), "cores": os.cpu_count()}
    print(f"PostgreSQL with {found['settings']}; {found['cores']} cores for clients and server\n", flush=True)
    if "fleet" in parts:
        found["fleet"] = [asdict(result) for result in measure_fleet(server, given)]
    if "growth" in parts:
        sizes = [given.trials * part // 4 for part in (0, 1, 2, 4)]
        growth = measure_growth(server, sizes, seconds=given.seconds / 3, epoch_s=given.epoch_s)
        print_growth(growth)
        found["growth"] = [asdict(size) for size in growth]
    if "sampler" in parts:
        sizes = [0, given.trials // 10, given.trials]
        sampling = measure_sampler(server, sizes, repeats=given.repeats)
        print_sampler(sampling)
        found["sampler"] = [asdict(case) for case in sampling]
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
