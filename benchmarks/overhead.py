"""What the service adds to training: the same trials bare, by the service, and by stock Optuna 5.0.0.

    python -P benchmarks/overhead.py [--quick] [--epoch-seconds 1] [--trials 6] [--json FILE]

Networks note the time themselves (`common/timed_family.py`), so all sides are measured alike. Three parts:

* steady: the same trials (drawn once by the service's sampler; same seeds, one thread, no pruning) by bare loops in
  one process, by `studyhall launch` with one worker on SQLite, and by `study.optimize` with RDBStorage on SQLite. The
  time of a trial runs from its first step to the next trial's first step. Start-up, until the first step, stands apart.
* the gap between two trials of a warm worker, in its parts, with the default sampler over the default space and our
  families' own networks, after more than 40 trials; and what the worker imports and opens meanwhile.
* a worker that is killed in a trial: until its replacement takes its first step.
"""

import argparse
import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent / "common"))
from overhead_gaps import gaps, replacements
from overhead_steady import SHAPE, events_per_epoch, steady, steady_tree

from study.generation import write_simulation


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=6, help="of each side")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--epoch-seconds", type=float, default=1.0, help="what an epoch is made to take")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--gap-trials", type=int, default=100)
    parser.add_argument("--kills", type=int, default=7)
    parser.add_argument("--only", choices=("steady", "gaps", "kills"), nargs="+", default=["steady", "gaps", "kills"])
    parser.add_argument("--quick", action="store_true", help="does it run at all?")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--keep", type=Path, help="keep what the runs leave in this folder")
    given = parser.parse_args()
    if given.quick:
        given.trials, given.epochs, given.epoch_seconds, given.repeats = 3, 2, 0.3, 1
        given.gap_trials, given.kills = 12, 2
    results: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="overhead-")))
        events, data = int(events_per_epoch(given.epoch_seconds) / 0.8), folder / "events.h5"
        folder.mkdir(parents=True, exist_ok=True)
        write_simulation(data, events, 1)
        print(f"{events} events of {SHAPE}, {given.trials} trials of {given.epochs} epochs, one worker of one thread")
        if "steady" in given.only:
            results["steady"] = steady(folder, steady_tree(data, given.trials, given.epochs), given.repeats)
        if "gaps" in given.only:
            results["gaps"] = gaps(folder, given.gap_trials)
        if "kills" in given.only:
            results["kills"] = replacements(folder, data, given.kills)
    if given.json:
        given.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
