"""A plain Optuna script: one study on SQLite, two processes that optimize it.

It is one system of `peers.py`, which starts it. Its two processes are forked when torch has been imported, which
starts them sooner than two scripts would. `--search stock` is Optuna's default sampler and pruner, `--search ours`
Studyhall's.
"""

import argparse
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.pruners import BasePruner, MedianPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import MaxTrialsCallback
from peer_data import load_prepared
from peer_record import Log
from peer_space import REDUCTION, suggest
from peer_training import NotFinite, Reference, open_parts, trial_seed

PROCESSES = 2
NAME = "peer"


def main() -> None:
    """Create the study and let two processes run it."""
    given = arguments()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.create_study(study_name=NAME, storage=storage(given), direction="maximize")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(given, rank)) for rank in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sys.exit(max(process.exitcode or 0 for process in processes))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--loader-workers", type=int, required=True)
    parser.add_argument("--search", choices=["stock", "ours"], default="stock")
    return parser.parse_args()


def storage(given: argparse.Namespace) -> str:
    """The database's URL."""
    return f"sqlite:///{given.run / 'optuna.db'}"


def work(given: argparse.Namespace, rank: int) -> None:
    """One of the processes."""
    torch.set_num_threads(1)
    sampler, pruner = search(given, rank)
    study = optuna.load_study(study_name=NAME, storage=storage(given), sampler=sampler, pruner=pruner)
    prepared, log = load_prepared(given.data), Log(given.run / "log.jsonl")
    parts = open_parts(prepared)

    def objective(trial: optuna.Trial) -> float:
        sampled = suggest(trial)
        seed = trial_seed(given.seed, trial.number)
        weights = given.run / f"trial-{trial.number}.pt"
        reference = Reference(prepared, parts, sampled, seed, given.loader_workers, weights)
        for epoch in range(1, given.epochs + 1):
            try:
                value = reference.epoch()
            except NotFinite:
                raise optuna.TrialPruned from None
            log.epoch(trial.number, epoch, value)
            trial.report(value, epoch)
            if epoch < given.epochs and trial.should_prune():
                raise optuna.TrialPruned
        return reference.best

    def ended(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        log.end(trial.number, trial.state.name.lower())

    # Counting trials of every state, running ones too, makes the budget exact but for a rare race.
    study.optimize(objective, callbacks=[ended, MaxTrialsCallback(given.trials, states=None)])


def search(given: argparse.Namespace, rank: int) -> tuple[BaseSampler, BasePruner]:
    """The sampler and the pruner."""
    if given.search == "stock":
        return TPESampler(seed=PROCESSES * given.seed + rank), MedianPruner()
    from peer_search import OurSampler

    sampler = OurSampler(seed=given.seed, trials=given.trials, epochs=given.epochs)
    return sampler, SuccessiveHalvingPruner(min_resource=1, reduction_factor=REDUCTION)


def parameters(run: Path, number: int) -> dict[str, Any]:
    """What was sampled for a trial."""
    study = optuna.load_study(study_name=NAME, storage=f"sqlite:///{run / 'optuna.db'}")
    return study.get_trials(deepcopy=False)[number].params


if __name__ == "__main__":
    main()
