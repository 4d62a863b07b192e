"""Configurations that do not fit into memory are refused before they train, and the others train."""

import json
import subprocess
import sys
from pathlib import Path

import optuna
from lab import Lab, finished

from models._family import families
from storage.trials import open_storage

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "memory.py"
HUGE = {"model": "mlp", "mlp.depth": 2, "mlp.width": {"choice": [16, 16384]}, "optimizer": "adamw", "batch_size": 32}
LIMIT_KB = 1_500_000


def test_what_would_not_fit_is_infeasible_and_counts_in_the_budget(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab")
    queue = [{"mlp.width": width} for width in (16384, 16, 16384, 16)]
    lab.create(queue=queue, space=HUGE, budget={"trials": 4}, search={"pruner": "none"})

    status, output = finished(
        lab.start_shell(f"ulimit -d {LIMIT_KB}; exec studyhall worker q --workers 1 --devices cpu")
    )

    assert status == 0, output
    trials = lab.trials()
    assert [(trial.state.name, trial.failure) for trial in trials] == 2 * [("PRUNED", "infeasible"), ("COMPLETE", None)]
    constraints = [
        trial.constraints for trial in optuna.load_study(study_name="q", storage=open_storage(lab.url)).trials
    ]
    assert [found.get("memory", 0.0) > 1 for found in constraints] == 2 * [True, False]
    assert all("memory: its training is predicted to take" in trial.attributes["reason"] for trial in trials[::2])


def test_what_is_predicted_is_near_what_a_training_takes(tmp_path: Path) -> None:
    found = tmp_path / "memory.json"
    options = ["--draws", "2", "--shape", "19", "16", "20", "--seed", "7", "--json", found]

    subprocess.run([sys.executable, "-P", BENCHMARK, *options], check=True, capture_output=True, timeout=300)

    draws = json.loads(found.read_text())
    assert {draw["family"] for draw in draws} == set(families())
    ratios = [draw["measured_mb"] / draw["predicted_mb"] for draw in draws]
    assert min(ratios) > 0.5
    assert max(ratios) < 1.7
