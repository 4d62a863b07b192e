"""`studyhall replay` over studies that ran."""

import json
from pathlib import Path

import pytest
from lab import Lab

SPACE = {
    "model": "cnn",
    "cnn.width": 8,
    "cnn.depth": 1,
    "cnn.stride": 2,
    "optimizer": {"choice": ["sgd", "adam"]},
    "lr": {"float": [1e-4, 1e-1], "log": True},
    "batch_size": 32,
}


def recorded(folder: Path, pruner: str, trials: int = 14) -> Lab:
    """A study with its curves; its one worker makes the order of the reports certain."""
    lab = Lab(folder)
    options = {"search": {"pruner": pruner}, "budget": {"trials": trials}, "training": {"epochs": 5}}
    lab.create(space=SPACE, **options)
    lab.work(workers=1)
    return lab


@pytest.mark.parametrize("pruner", ["asha", "median"])
def test_a_studys_own_pruner_decides_about_every_trial_as_it_did_in_the_study(pruner: str, tmp_path: Path) -> None:
    lab = recorded(tmp_path, pruner)

    status, output = lab.run("replay", "q", "--json")

    found = json.loads(output)
    own = found["pruners"][0]
    pruned = {str(t.number): max(t.values) for t in lab.trials() if t.state.name == "PRUNED"}
    assert status == 0
    assert (found["workers"], own["agrees"], own["censored"], own["epochs_saved"]) == (1, 14, [], 0)
    assert own["stopped"] == pruned
    assert pruned


def test_several_pruners_stand_side_by_side_and_mistakes_are_told(tmp_path: Path) -> None:
    lab = recorded(tmp_path, "none", trials=5)

    status, table = lab.run("replay", "q", "--pruner", "none", "--pruner", "{name: asha, reduction_factor: 4}")
    unknown = lab.run("replay", "q", "--pruner", "med")
    option = lab.run("replay", "q", "--pruner", "asha", "--set", "reduction=4")
    missing = lab.run("replay", "nix")

    rows = [line.split() for line in table.splitlines()]
    assert status == 0
    assert [row[:2] for row in rows[:3]] == [["pruner", "stopped"], ["as", "recorded"], ["none", "0"]]
    assert rows[3][:2] == ["asha", "(reduction_factor=4)"]
    assert unknown[0] == option[0] == missing[0] == 2
    assert "did you mean median?" in unknown[1]
    assert "no option reduction; did you mean reduction_factor?" in option[1]
    assert "no study 'nix'" in missing[1]


def test_a_study_without_an_epoch_has_nothing_to_replay(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.create()

    status, output = lab.run("replay", "q")

    assert status == 2
    assert "has recorded no epoch yet" in output
