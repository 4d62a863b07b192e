"""How many trials it takes until what matters can be told from what does not.

Simulates studies whose result depends on the learning rate alone, beside nine hyperparameters that do nothing, with
noise a third as large as the effect; at random points or by the default sampler, without a pruner or with asha. Of the
studies it counts those in which

- `named`: the learning rate is told from chance, and `false`: something else is,
- `first`: PED-ANOVA's share of the learning rate is the largest,

by all trials that count (complete and pruned) and by the complete ones alone.

    python -P benchmarks/importance.py --studies 40 --json importance.json
"""

import argparse
import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from models._family import families
from storage.history import TrialRow
from study.config import StudyConfig
from study.importance import importances
from study.search import make_pruner, make_sampler
from study.space import build_space

SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 1e-1, log=True),
    "weight_decay": FloatDistribution(1e-6, 1e-2, log=True),
    "width": IntDistribution(4, 64),
    "depth": IntDistribution(1, 5),
    "warmup": FloatDistribution(0.0, 0.2),
    "dropout": FloatDistribution(0.0, 0.5),
    "optimizer": CategoricalDistribution(["sgd", "adam", "adamw", "rmsprop"]),
    "batch_size": CategoricalDistribution([32, 64, 128]),
    "normalize": CategoricalDistribution(["none", "standard", "log1p", "per_channel"]),
    "flip": CategoricalDistribution([False, True]),
}
NOISE = 0.3
EPOCHS = 12
SIZES = (20, 30, 50, 100, 200, 300)


@dataclass(frozen=True)
class Row:
    """Shares of the studies, 0 to 1; `seconds` are of one evaluation."""

    sampler: str
    pruner: str
    trials: int
    trained: float
    named: float
    false: float
    first: float
    complete_named: float
    complete_false: float
    complete_first: float
    seconds: float


def simulated(sampler: str, pruner: str, trials: int, seed: int) -> list[TrialRow]:
    """One study, trial by trial."""
    tree = {"study": {"name": "simulated", "seed": seed}, "budget": {"trials": trials}, "data": {"path": "none.h5"}}
    config = StudyConfig.model_validate(
        {**tree, "training": {"epochs": EPOCHS}, "search": {"sampler": sampler, "pruner": pruner}}
    )
    space, random = build_space({}, families()), np.random.default_rng(seed)
    study = optuna.create_study(study_name="simulated", direction="maximize", pruner=make_pruner(config))
    for number in range(trials):
        study.sampler = make_sampler(config, number, space)
        _train(study, random)
    return [_row(trial) for trial in study.trials]


def _train(study: optuna.Study, random: np.random.Generator) -> None:
    trial = study.ask(SPACE)
    end = -float((np.log10(trial.params["lr"]) + 2.5) ** 2) + NOISE * float(random.normal())
    value = end
    for epoch in range(1, EPOCHS + 1):
        value = end - 2.0 * float(np.exp(-epoch / 4)) + 0.05 * float(random.normal())
        trial.report(value, epoch)
        if epoch < EPOCHS and trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return
    study.tell(trial, value)


def _row(trial: FrozenTrial) -> TrialRow:
    at = datetime(2026, 1, 1)
    return TrialRow(
        trial_id=trial.number,
        number=trial.number,
        state=trial.state,
        value=trial.value,
        parameters=trial.params,
        attributes={},
        values=trial.intermediate_values,
        ours=True,
        attempts=1,
        attempt_state=None,
        failure=None,
        message=None,
        agent_id=None,
        slot=None,
        seconds=1.0,
        weights=None,
        started_at=at,
        ended_at=at,
        token=None,
    )


def judged(rows: Sequence[TrialRow]) -> tuple[bool, bool, bool]:
    """Whether the learning rate is named, whether anything else is, and whether it has the largest share."""
    (group,) = importances(rows, SPACE, "maximize")
    told = {parameter.name for parameter in group.parameters if parameter.told}
    largest = max(group.parameters, key=lambda parameter: parameter.share, default=None)
    return "lr" in told, bool(told - {"lr"}), largest is not None and largest.name == "lr"


def measure(sampler: str, pruner: str, trials: int, studies: int) -> Row:
    """Many studies of one kind."""
    found, complete, trained, seconds = [], [], 0, 0.0
    for seed in range(studies):
        rows = simulated(sampler, pruner, trials, seed)
        start = time.perf_counter()
        found.append(judged(rows))
        seconds += time.perf_counter() - start
        ended = [row for row in rows if row.state is TrialState.COMPLETE]
        complete.append(judged(ended))
        trained += len(ended)
    named, false, first = np.mean(found, axis=0)
    known, wrong, alone = np.mean(complete, axis=0)
    return Row(sampler, pruner, trials, trained / studies, named, false, first, known, wrong, alone, seconds / studies)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=40, help="of each kind")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore")
    rows = []
    print("sampler pruner trials complete | named false first | of complete: named false first | seconds")
    for sampler in ("random", "tpe"):
        for pruner in ("none", "asha"):
            for trials in SIZES:
                row = measure(sampler, pruner, trials, arguments.studies)
                rows.append(row)
                print(
                    f"{row.sampler:7} {row.pruner:6} {row.trials:6} {row.trained:8.0f} | {row.named:5.2f} "
                    f"{row.false:5.2f} {row.first:5.2f} | {row.complete_named:18.2f} {row.complete_false:5.2f} "
                    f"{row.complete_first:5.2f} | {row.seconds:.2f}",
                    flush=True,
                )
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
