"""What the dashboard's page costs its server: stock optuna-dashboard beside ours, on the same database, in one run.

    python -P benchmarks/dashboard.py [--trials 10000] [--repeats 5]

A trial has 12 parameters, 14 user attributes and 20 intermediate values. Every side is a server process of its own
(waitress, as ours; loopback), asked by one client that accepts gzip and keeps its connection. CPU is the server's
`time.process_time` around a request; each figure is the median of its repeats with the lowest and highest, and the
sides take turns. Polls follow one another within seconds, so stock answers from its cache, which lasts 10 s.
"""

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "common"))
from dashboard_side import COST
from dashboard_study import fill, reopen

SIDES = ("stock", "stock, our storage", "ours")
OLD = 3
"""Number of the trial that still runs."""


@dataclass(frozen=True)
class Cost:
    """Of one request."""

    cpu_ms: float
    bytes_sent: int
    seconds: float
    held_mb: float


class Served:
    """A server process and a client of it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)

    def get(self, path: str, tag: str | None = None) -> tuple[bytes, str]:
        """A body, as sent, and its tag."""
        headers = {"Accept-Encoding": "gzip, deflate", **({"If-None-Match": tag} if tag else {})}
        self._connection.request("GET", path, headers=headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status not in (200, 304):
            raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
        return body, answer.headers.get("ETag", "")

    def cost(self, path: str, tag: str | None = None) -> Cost:
        """Of one request."""
        before = self._cost()
        began = time.perf_counter()
        body, _ = self.get(path, tag)
        seconds = time.perf_counter() - began
        time.sleep(0.05)  # the server's thread may still be at it
        after = self._cost()
        return Cost(1000 * (after[0] - before[0]), len(body), seconds, after[1])

    def _cost(self) -> tuple[float, float]:
        cpu_s, memory_mb = json.loads(self.get(COST)[0])
        return cpu_s, memory_mb


@contextmanager
def served(side: str, url: str) -> Iterator[Served]:
    """Serve one side."""
    script = Path(__file__).parent / "common" / "dashboard_side.py"
    process = subprocess.Popen([sys.executable, "-P", script, side, url], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Served(int(process.stdout.readline()))
    finally:
        process.kill()
        process.communicate()


@contextmanager
def all_served(url: str) -> Iterator[dict[str, Served]]:
    """Serve all sides."""
    with ExitStack() as stack:
        yield {side: stack.enter_context(served(side, url)) for side in SIDES}


Row = tuple[str, dict[str, list[float]]]


def repeated(what: str, repeats: int, asked: dict[str, Callable[[], Cost]]) -> list[Row]:
    """CPU and bytes of requests, the sides in turn."""
    costs: dict[str, list[Cost]] = {side: [] for side in asked}
    for _ in range(repeats):
        for side, ask in asked.items():
            costs[side].append(ask())
    return [
        (f"{what}: CPU, ms", {side: [cost.cpu_ms for cost in some] for side, some in costs.items()}),
        (f"{what}: MB sent", {side: [cost.bytes_sent / 1e6 for cost in some] for side, some in costs.items()}),
    ]


def polls(url: str, path: str, what: str, repeats: int) -> list[Row]:
    """Polls of servers that have answered before."""
    with all_served(url) as sides:
        tags = {side: server.get(path)[1] for side, server in sides.items()}  # asked once before all else
        rows = repeated(what, repeats, {side: lambda s=server: s.cost(path) for side, server in sides.items()})
        if tags["ours"]:
            asked = {"ours": lambda: sides["ours"].cost(path, tags["ours"])}
            rows += repeated(f"{what}, with If-None-Match", repeats, asked)
        return rows


def first_answers(url: str, path: str, what: str, repeats: int) -> list[Row]:
    """Of servers that have just been started."""
    costs: dict[str, list[Cost]] = {side: [] for side in SIDES}
    for _ in range(repeats):
        for side in SIDES:
            with served(side, url) as server:
                costs[side].append(server.cost(path))
    figures: dict[str, Callable[[Cost], float]] = {
        "CPU, ms": lambda cost: cost.cpu_ms,
        "seconds": lambda cost: cost.seconds,
        "MB sent": lambda cost: cost.bytes_sent / 1e6,
        "server's memory after it, MB": lambda cost: cost.held_mb,
    }
    return [
        (f"{what}: {unit}", {side: [figure(cost) for cost in some] for side, some in costs.items()})
        for unit, figure in figures.items()
    ]


def table(rows: list[Row]) -> str:
    """Medians with their spread, and how many times as much stock takes as ours."""
    lines = [f"| | {' | '.join(SIDES)} | stock / ours |", "|---" * (len(SIDES) + 2) + "|"]
    for what, sides in rows:
        cells = [spread(sides[side]) if side in sides else "–" for side in SIDES]
        ratio = "–"
        if "stock" in sides and statistics.median(sides["ours"]) > 0:
            ratio = f"{statistics.median(sides['stock']) / statistics.median(sides['ours']):.1f}"
        lines.append(f"| {what} | {' | '.join(cells)} | {ratio} |")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    """Median (lowest–highest)."""
    digits = 2 if max(values) < 10 else 0
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'bench.db'}"
        study = f"/api/studies/{fill(url, given.trials)}"
        rows = first_answers(url, f"{study}?after=0", "first load", given.repeats)
        restarted = "first poll of a server that was started again"
        rows += first_answers(url, f"{study}?after={given.trials}", restarted, given.repeats)
        rows += polls(url, f"{study}?after={given.trials}", "poll, nothing new", given.repeats)
        rows += polls(url, "/api/studies", "list of studies", given.repeats)
        reopen(url, OLD)
        rows += polls(url, f"{study}?after={OLD}", f"poll, trial {OLD} still running", given.repeats)
    print(f"{given.trials:,} trials, {given.repeats} repeats\n\n{table(rows)}")


if __name__ == "__main__":
    main()
