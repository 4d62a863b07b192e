"""Configurations that do not fit into memory are refused before they train, and the others train."""

from pathlib import Path

from lab import Lab, finished

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
    assert all("memory: its training is predicted to take" in trial.attributes["reason"] for trial in trials[::2])
