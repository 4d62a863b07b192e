"""The examples on real images: scikit-learn's handwritten digits, from HDF5 to an exported network."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


def studyhall(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "study", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples, beside the digits."""
    folder = tmp_path_factory.mktemp("examples")
    for name in ("digits.yaml", "pareto.yaml", "own_code.yaml", "my_models.py", "my_task.py"):
        shutil.copy(ROOT / "examples" / name, folder)
    subprocess.run([sys.executable, ROOT / "examples" / "make_digits.py", folder / "digits.h5"], check=True)
    return folder


@pytest.fixture(scope="module")
def digits(folder: Path) -> Path:
    """The study of the digits, launched and its best trial exported."""
    studyhall(folder, "launch", "digits.yaml", "--workers", "2")
    studyhall(folder, "export", "digits", "--to", "best")
    return folder


def metrics(export: Path) -> dict[str, dict[str, float]]:
    found = json.loads((export / "metrics.json").read_text())
    return {part: found[part] for part in ("validation", "test")}


def test_a_short_study_of_handwritten_digits_reaches_97_percent_on_the_test_scans(digits: Path) -> None:
    assert metrics(digits / "best")["test"]["accuracy"] >= 0.97


def test_evaluating_an_export_gives_the_very_same_metrics(digits: Path) -> None:
    output = json.loads(studyhall(digits, "evaluate", "best", "--json"))

    assert output["metrics"] == metrics(digits / "best")
    assert output["compared"] == ["validation", "test"]


def test_predictions_are_probabilities_in_the_order_of_the_events(digits: Path) -> None:
    studyhall(digits, "predict", "best", "--data", "digits.h5", "--out", "predictions.h5")

    with h5py.File(digits / "predictions.h5") as file, h5py.File(digits / "digits.h5") as events:
        predictions, truth = file["predictions"][()], events["digit"][()]
        columns = list(file["predictions"].attrs["columns"])
    assert columns == [f"probability_{digit}" for digit in range(10)]
    assert predictions.shape == (1797, 10)
    assert np.allclose(predictions.sum(axis=1), 1)
    assert np.mean(predictions.argmax(axis=1) == truth) > 0.97


def test_only_the_first_of_the_best_sees_the_test_scans_and_the_record_stays(folder: Path) -> None:
    both_complete = ["--set", "budget.trials=2", "--set", "training.epochs=2", "--set", "search.pruner=none"]
    studyhall(folder, "launch", "digits.yaml", "--workers", "2", "--set", "study.name=pair", *both_complete)
    studyhall(folder, "export", "pair", "--to", "one")
    first = metrics(folder / "one")["test"]

    studyhall(folder, "export", "pair", "--top", "2", "--to", "two")
    status = json.loads(studyhall(folder, "status", "pair", "--json"))

    exports = sorted((folder / "two").iterdir())
    assert metrics(exports[0])["test"] == first
    assert metrics(exports[1])["test"] is None
    assert status["tested"] == 1
    assert "in all, 1 trial of this study has seen them" in (exports[0] / "README.md").read_text()


def test_an_export_whose_weights_were_changed_is_found_out(digits: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(digits / "best", digits / "changed")
    path = digits / "changed" / "model.safetensors"
    weights = load_file(path)
    save_file({name: tensor * 1.5 for name, tensor in weights.items()}, path)

    done = subprocess.run(
        [sys.executable, "-P", "-m", "study", "evaluate", "changed"],
        cwd=digits,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "have changed since the export" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_family_and_a_task_of_ones_own_are_searched_and_carried_along(folder: Path) -> None:
    studyhall(folder, "launch", "own_code.yaml", "--workers", "2")
    studyhall(folder, "export", "own-code", "--to", "own")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (folder / "own").rename(elsewhere / "own")

    output = json.loads(studyhall(elsewhere, "evaluate", "own", "--json"))

    assert output["compared"] == ["validation", "test"]
    assert {"my_models.py", "my_task.py"} <= {path.name for path in (elsewhere / "own").iterdir()}


def test_weights_that_were_not_kept_are_trained_again_to_the_same_metrics(folder: Path) -> None:
    keep_one = ["--set", "checkpoint.keep=1", "--set", "search.pruner=none", "--set", "study.name=few"]
    studyhall(folder, "launch", "own_code.yaml", "--workers", "2", *keep_one)
    ranked = json.loads(studyhall(folder, "status", "few", "--json"))["trials"]

    studyhall(folder, "export", "few", "--trial", str(ranked[-1]["number"]), "--to", "again")

    assert metrics(folder / "again")["validation"]["accuracy"] == ranked[-1]["value"]
    assert json.loads(studyhall(folder, "evaluate", "again", "--json"))["compared"] == ["validation", "test"]


def test_the_front_of_accuracy_and_size_is_exported_network_by_network(folder: Path) -> None:
    studyhall(folder, "launch", "pareto.yaml", "--workers", "2")
    status = json.loads(studyhall(folder, "status", "pareto", "--json"))

    studyhall(folder, "export", "pareto", "--pareto", "--to", "front")

    trials = {trial["number"]: trial for trial in status["trials"]}
    exports = sorted((folder / "front").iterdir())
    assert [int(path.name.rpartition("-")[2]) for path in exports] == status["front"]
    sizes = [trials[number]["all_values"][1] for number in status["front"]]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) <= 20_000 < max(trial["attributes"]["parameters"] for trial in trials.values())
    assert all(trial["failure"] in (None, "infeasible") for trial in trials.values())
    assert [metrics(path)["test"] is not None for path in exports] == [True, *[False] * (len(exports) - 1)]
