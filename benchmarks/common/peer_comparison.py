"""From the runs to the figures: quality, time to it, ratios of the same seed, intervals, tables."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
from peer_systems import SYSTEMS, Run

QUALITY = 0.99
"""Of the best validation metric that the worst system reached with that seed."""
RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Figures:
    """One run's figures.

    Attributes:
        processes: how many trained, as far as known: two where Ray's actors are reused.
        quality_s: seconds until it had the quality that all systems reached with this seed.
    """

    system: str
    seed: int
    wall_s: float
    cpu_s: float
    trials: int
    epochs: int
    processes: int
    validation: float
    test: float
    quality: float
    quality_s: float


def figures(runs: Sequence[Run]) -> list[Figures]:
    """Of every run; a seed's quality is that which all its runs reached."""
    found = []
    for run in runs:
        quality = QUALITY * min(other.record.best for other in runs if other.seed == run.seed)
        record = run.record
        found.append(
            Figures(
                run.system,
                run.seed,
                run.wall_s,
                run.cpu_s,
                len(record.ends),
                len(record.epochs),
                record.processes,
                record.best,
                run.test,
                quality,
                record.reached(quality),
            )
        )
    return found


@dataclass(frozen=True)
class Ratio:
    """A system's seconds per second of the base, seed by seed.

    Attributes:
        low, high: 95 % interval of the median, by resampling the seeds.
    """

    system: str
    what: str
    values: list[float]
    median: float
    low: float
    high: float


def ratios(found: Sequence[Figures], base: str) -> list[Ratio]:
    """Of every system but the base: time to the quality, wall time, CPU time."""
    systems = [name for name in SYSTEMS if name != base and any(f.system == name for f in found)]
    return [_ratio(found, system, base, what) for system in systems for what in ("quality_s", "wall_s", "cpu_s")]


def _ratio(found: Sequence[Figures], system: str, base: str, what: str) -> Ratio:
    theirs = {f.seed: getattr(f, what) for f in found if f.system == system}
    ours = {f.seed: getattr(f, what) for f in found if f.system == base}
    values = [theirs[seed] / ours[seed] for seed in sorted(set(theirs) & set(ours))]
    low, high = interval(values)
    return Ratio(system, what, values, median(values), low, high)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The percentile bootstrap's interval of the median; the same values give the same interval."""
    drawn = np.random.default_rng(0).choice(np.asarray(values), (RESAMPLES, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def tables(found: Sequence[Figures], compared: Sequence[Ratio], base: str) -> str:
    """Both tables, in Markdown."""
    seeds = len({f.seed for f in found})
    lines = [
        f"Medians over {seeds} seeds (lowest–highest):",
        "",
        "| system | wall, s | CPU, s | trials | epochs | best validation | test | time to quality, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for system in (name for name in SYSTEMS if any(f.system == name for f in found)):
        mine = [f for f in found if f.system == system]
        cells = [_cell(mine, "wall_s", 1), _cell(mine, "cpu_s", 1), _cell(mine, "trials", 0), _cell(mine, "epochs", 0)]
        cells += [_cell(mine, "validation", 4), _cell(mine, "test", 4), _cell(mine, "quality_s", 1)]
        lines.append(f"| {system} | {' | '.join(cells)} |")
    if not compared:
        return "\n".join(lines)
    coverage = 100 * (1 - 2.0 ** (1 - seeds))
    lines += [
        "",
        f"Seconds per second of {base}, same seed; the median of all seeds lies between lowest and highest with "
        f"{coverage:.1f} % (sign test):",
        "",
        "| system | what | median | lowest–highest | 95 % interval (bootstrap) |",
        "|---|---|---|---|---|",
    ]
    names = {"quality_s": "time to quality", "wall_s": "wall time", "cpu_s": "CPU time"}
    for r in compared:
        spread = f"{min(r.values):.2f}–{max(r.values):.2f}"
        lines.append(f"| {r.system} | {names[r.what]} | {r.median:.2f} | {spread} | {r.low:.2f}–{r.high:.2f} |")
    return "\n".join(lines)


def _cell(mine: Sequence[Figures], name: str, digits: int) -> str:
    values = [getattr(f, name) for f in mine]
    if min(values) == max(values):
        return f"{values[0]:.{digits}f}"
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def to_json(
    settings: dict[str, Any], runs: Sequence[Run], found: Sequence[Figures], compared: Sequence[Ratio]
) -> dict[str, Any]:
    """Everything, the records of all epochs too."""
    return {
        "settings": settings,
        "systems": SYSTEMS,
        "figures": [asdict(f) for f in found],
        "ratios": [asdict(r) for r in compared],
        "runs": [asdict(run) for run in runs],
    }
