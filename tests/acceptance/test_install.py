"""What a newcomer does first: install, and run the demo."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_demo_beats_a_logistic_regression_beyond_chance_and_exports_its_best(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "study", "demo"]

    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert first.returncode == 0, first.stdout + first.stderr
    assert "logistic regression on (total charge, hits, mean time) has" in " ".join(first.stdout.split())
    assert (tmp_path / "demo" / "best" / "model.safetensors").is_file()
    assert second.returncode == 0, second.stdout + second.stderr
    assert second.stdout.splitlines()[-3:] == first.stdout.splitlines()[-3:]


@pytest.mark.slow
def test_the_wheel_in_an_empty_environment_runs_doctor(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(pip, check=True)
    wheel = next(tmp_path.glob("studyhall-*.whl"))
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    python = tmp_path / "env" / "bin" / "python"
    constraints = str(ROOT / "constraints.txt")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-c", constraints, str(wheel)], check=True)

    clean = {name: value for name, value in os.environ.items() if not name.startswith(("STUDYHALL", "PYTHON"))}
    done = subprocess.run(
        [tmp_path / "env" / "bin" / "studyhall", "doctor"],
        cwd=tmp_path,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "optuna: 5.0" in done.stdout
