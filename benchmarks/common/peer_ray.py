"""Ray Tune: OptunaSearch and ASHA, two trials at a time, actors reused, around the reference training.

It is one system of `peers.py`, which starts it. Loggers that nobody reads are off, and checkpoints of trials too.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import ray
import torch
from peer_data import load_prepared
from peer_record import Log
from peer_space import REDUCTION, suggest
from peer_training import NotFinite, Reference, open_parts, trial_seed
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

CPUS = 2
METRIC, BEST = "accuracy", "best_accuracy"
NUMBER = "number"
STORE_BYTES = 200 * 2**20


class Training(tune.Trainable):
    """A trial, an epoch a step; the actor keeps the events open from trial to trial."""

    def setup(self, config: dict[str, Any], given: dict[str, Any]) -> None:
        """Open the events and begin the first trial; `given` is the command line."""
        torch.set_num_threads(1)
        self._given = given
        self._run = Path(self._given["run"])
        self._log = Log(self._run / "log.jsonl")
        self._prepared = load_prepared(Path(self._given["data"]))
        self._parts = open_parts(self._prepared)
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in the same process."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train an epoch."""
        try:
            value = self._reference.epoch()
        except NotFinite:
            return {METRIC: 0.0, BEST: 0.0, "done": True}
        self._log.epoch(self._number, self.iteration + 1, value)
        return {METRIC: value, BEST: self._reference.best, "done": self.iteration + 1 >= self._given["epochs"]}

    def _begin(self, config: dict[str, Any]) -> None:
        self._number: int = config[NUMBER]
        weights = self._run / f"trial-{self._number}.pt"
        seed = trial_seed(self._given["seed"], self._number)
        self._reference = Reference(self._prepared, self._parts, config, seed, self._given["loader_workers"], weights)


class Ends(tune.Callback):
    """Records the end of each trial. Ray does not tell those that ASHA stopped from the others.

    Attributes:
        sampled: the hyperparameters of each ended trial.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self.sampled: dict[int, dict[str, Any]] = {}

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """See Ray."""
        self._log.end(trial.config[NUMBER], "complete")
        self.sampled[trial.config[NUMBER]] = trial.config

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """See Ray."""
        self._log.end(trial.config[NUMBER], "fail")


def main() -> None:
    """Start Ray, run the search, end Ray."""
    given = arguments()
    # A short path of its own: the names of its sockets may have about a hundred characters.
    temporary = tempfile.mkdtemp(prefix="ray-")
    try:
        ray.init(
            num_cpus=CPUS,
            _node_ip_address="127.0.0.1",
            include_dashboard=False,
            object_store_memory=STORE_BYTES,
            log_to_driver=False,
            logging_level="warning",
            _temp_dir=temporary,
        )
        run(given)
    finally:
        ray.shutdown()
        shutil.rmtree(temporary, ignore_errors=True)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--loader-workers", type=int, required=True)
    return parser.parse_args()


def space(trial: Any) -> dict[str, Any]:
    """Sample; Ray captures what is suggested and adds what is returned."""
    suggest(trial)
    return {NUMBER: trial.number}


def run(given: argparse.Namespace) -> None:
    """Run the search, and write down what was sampled."""
    ends = Ends(Log(Path(given.run) / "log.jsonl"))
    training = tune.with_parameters(Training, given=vars(given))
    tuner = tune.Tuner(
        tune.with_resources(training, {"cpu": 1}),
        tune_config=tune.TuneConfig(
            num_samples=given.trials,
            # The sampler learns from a trial's best epoch, as with the other systems; Ray passes on the last result.
            search_alg=OptunaSearch(space=space, metric=BEST, mode="max", seed=given.seed),
            scheduler=ASHAScheduler(
                metric=METRIC, mode="max", max_t=given.epochs, grace_period=1, reduction_factor=REDUCTION
            ),
            max_concurrent_trials=CPUS,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="peer",
            storage_path=str(Path(given.run) / "ray"),
            verbose=0,
            callbacks=[ends],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    tuner.fit()
    (Path(given.run) / "parameters.json").write_text(json.dumps(ends.sampled), encoding="utf-8")


if __name__ == "__main__":
    main()
