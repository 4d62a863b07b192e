"""The same trials without the service, in one warm process: a bare loop, or stock Optuna's `optimize`.

    python -P benchmarks/common/trial_sides.py bare FOLDER
    python -P benchmarks/common/trial_sides.py optuna FOLDER

FOLDER holds `job.json`: `config` and `facts` of a study, and `trials`, each trial's sampled hyperparameters by name.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import torch

from objectives._fit import never
from study._training import TrialData, TrialRun, load_trial_data
from study.loading import validated
from study.plan import Facts, Plan, build_plan


class Job:
    """The study's plan, facts and events, as a worker holds them."""

    def __init__(self, folder: Path) -> None:
        job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        config = validated(job["config"], default_name="study", source="job.json")
        self.folder = folder
        self.plan: Plan = build_plan(config, folder)
        self.facts = Facts.from_json(job["facts"])
        self.data: TrialData = load_trial_data(self.plan, self.facts)
        self.trials: list[dict[str, Any]] = job["trials"]

    def run(self, number: int, sampled: Mapping[str, Any]) -> TrialRun:
        """A trial, with the seed that the service gives it."""
        return TrialRun(self.plan, self.facts, number, sampled, "cpu")


def bare(job: Job) -> list[float]:
    """One trial after the other; nothing is written. Their values."""
    values = []
    for number, sampled in enumerate(job.trials):
        run = job.run(number, sampled)
        for _ in run.epochs(job.data, should_stop=never):
            pass
        values.append(run.value)
    return values


def stock(job: Job) -> list[float]:
    """Optuna as its documentation shows it: an objective that reports each epoch and may be pruned. Their values."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=optuna.storages.RDBStorage(f"sqlite:///{job.folder}/optuna.db"),
        sampler=optuna.samplers.TPESampler(seed=0),
        pruner=optuna.pruners.NopPruner(),
        direction=job.plan.direction,
    )
    for sampled in job.trials:
        study.enqueue_trial(sampled)

    def objective(trial: optuna.Trial) -> float:
        run = job.run(trial.number, job.plan.space.sample(trial))
        for epoch in run.epochs(job.data, should_stop=never):
            trial.report(epoch.metrics[job.plan.metric], epoch.epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return run.value

    study.optimize(objective, n_trials=len(job.trials))
    return [trial.values[0] for trial in study.get_trials(deepcopy=False)]


def main() -> None:
    """Run a side; the trials' values go to `values.json`."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[2])
    values = {"bare": bare, "optuna": stock}[sys.argv[1]](Job(folder))
    (folder / "values.json").write_text(json.dumps(values), encoding="utf-8")


if __name__ == "__main__":
    main()
