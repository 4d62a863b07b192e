import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


def test_the_benchmark_of_gpus_runs_on_a_cpu_and_judges_nothing_there(tmp_path: Path) -> None:
    command = [sys.executable, "-P", BENCHMARK, "--device", "cpu", "--quick", "--json", tmp_path / "figures.json"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert {"tutorial", "ours", "ratio", "batches", "packed", "floor"} <= set(figures)
    assert all(rate > 0 for rate in [*figures["batches"].values(), *figures["packed"].values(), *figures["ours"]])
    assert "goal" not in done.stdout
    assert "GPU not read" in done.stdout


def test_without_a_gpu_the_benchmark_says_so() -> None:
    done = subprocess.run([sys.executable, "-P", BENCHMARK, "--device", "cuda:99"], capture_output=True, text=True)

    assert done.returncode == 2
    assert "GPU" in done.stderr
