"""The demo: simulate events, run a small study, print the best configuration, export it, compare with a baseline."""

from collections.abc import Callable
from pathlib import Path

import yaml
from rich.console import Console

from storage.database import Database
from study.baseline import Baseline, logistic_regression
from study.cli._tables import key_values, summary_table
from study.cli.results import metrics_table
from study.export import Exported, export_trials
from study.generation import write_simulation
from study.intervals import wilson
from study.launchers.local import LAUNCHER
from study.launching import End, launch, order_of
from study.loading import load_config
from study.plan import build_plan, open_data
from study.stored import load_stored
from study.summary import Summary

SEED = 1
STUDY = {
    "study": {"name": "demo", "seed": SEED},
    "data": {"path": "events.h5", "split": {"validation": 0.15, "test": 0.25}},
    "training": {"epochs": 9},
    "space": {
        "model": "cnn",
        "cnn.depth": {"int": [2, 4]},
        "cnn.width": {"int": [8, 16], "log": True},
        "cnn.stride": 2,
        "cnn.kernel": {"choice": [3, 5]},
        "batch_size": {"choice": [32, 64]},
        "lr": {"float": [5.0e-4, 1.0e-2], "log": True},
        "normalize": {"choice": ["log1p", "per_channel"]},
    },
}


def run_demo(
    to: Path, *, events: int, trials: int, workers: int, follow: Callable[[Summary], None], console: Console
) -> int:
    """Run the whole chain in a folder; 0 when the exported network beats the baseline.

    A second run continues where the first one stopped, and ends at once when that was the end.

    Raises:
        ConfigError: The folder holds a demo with other settings.
        DataError: The simulated file has been damaged.
    """
    to.mkdir(parents=True, exist_ok=True)
    data, study_file = to / "events.h5", to / "study.yaml"
    if not data.exists():
        console.print(f"1. simulating {events} events (gamma, electron, muon) → {data}", highlight=False)
        write_simulation(data, events, SEED)
    else:
        console.print(f"1. {data} is there already", highlight=False)
    study_file.write_text(yaml.safe_dump(STUDY | {"budget": {"trials": trials}}, sort_keys=False), encoding="utf-8")
    console.print(
        f"2. searching: {trials} trials, {workers} at a time, pruned early → {to / 'demo.db'}", highlight=False
    )
    config, folder = load_config(study_file)
    plan = build_plan(config, folder)
    url = f"sqlite:///{(to / 'demo.db').absolute()}"
    order = order_of(url, plan, workers=workers, devices="cpu")
    done = launch(url, plan, LAUNCHER, order, follow=follow)
    if done.end is not End.DONE or done.summary.best is None:
        console.print(f"the study ended early ({done.end.value}); {done.log} tells why; run the demo again to go on")
        return 130 if done.end is End.INTERRUPTED else 1
    summary_table(console, done.summary, trials=trials)
    database = Database(url)
    try:
        name = load_stored(database, config.name).name
        exported = export_trials(database, name, to / "best", replace=True)[0]
    finally:
        database.close()
    console.print(f"\n3. the best configuration, trial {exported.number}, exported → {to / 'best'}", highlight=False)
    key_values(console, plan.space.resolved(done.summary.best.parameters))
    metrics_table(exported.metrics)
    return _compare(console, exported, logistic_regression(open_data(plan)))


def _compare(console: Console, exported: Exported, baseline: Baseline) -> int:
    accuracy = (exported.metrics["test"] or {})["accuracy"]
    if accuracy is None:
        raise RuntimeError("the test metrics have no accuracy")
    low, high = wilson(accuracy, baseline.events)
    console.print(
        f"\n4. on the {baseline.events} test events the network has accuracy {accuracy:.4f} "
        f"(95 % interval {low:.4f} to {high:.4f});\n   a logistic regression on "
        f"({', '.join(baseline.features)}) has {baseline.accuracy:.4f}.",
        highlight=False,
        soft_wrap=True,
    )
    if low > baseline.accuracy:
        console.print("   The network is better, beyond chance.")
        return 0
    console.print("   The difference is within chance: more events or trials are needed.")
    return 1
