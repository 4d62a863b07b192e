import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from storage.hdf5 import Layout
from study._yaml import parse_yaml
from study.costs import build_defaults
from study.inspection import inspect_file
from study.loading import load_config
from study.plan import Facts, Plan, build_plan, gather_facts, open_data
from study.template import study_file

COUNT = 60
RANDOM = np.random.default_rng(0)
KINDS: dict[str, dict[str, Any]] = {
    "three classes": {"data": {"labels": np.arange(COUNT) % 3, "energies": np.linspace(99.5, 900.2, COUNT)}},
    "two classes": {"data": {"labels": np.arange(COUNT) % 2 + 1}},
    "named classes": {"data": {"labels": np.arange(COUNT) % 2}, "names": ["a: b\n# c", "d"]},
    "positive numbers": {"data": {"energies": np.linspace(100, 900, COUNT)[:, None]}, "target": "energies"},
    "any numbers": {"data": {"a b#c: {d}": np.linspace(-1, 1, COUNT)}, "target": "a b#c: {d}"},
    "colour images": {
        "data": {"pictures": RANDOM.integers(0, 256, (COUNT, 3, 8, 8), np.uint8), "labels": np.arange(COUNT) % 3},
        "events": "pictures",
        "axes": "NCHW",
    },
}


def written(folder: Path, kind: str, name: str = "events.h5") -> tuple[str, Plan, Facts]:
    """The study file for a data file of this kind, looked up and fitted to it."""
    made = KINDS[kind]
    layout = {"events": "event_data", "axes": "NHWC", "target": "labels"} | {
        key: made[key] for key in ("events", "axes", "target") if key in made
    }
    with h5py.File(folder / name, "w") as file:
        for dataset, values in ({"event_data": RANDOM.random((COUNT, 4, 5, 2))} | made["data"]).items():
            file[dataset] = values
        if "names" in made:
            file.attrs["class_names"] = made["names"]
    inspection = inspect_file(folder / name, Layout(**layout), every=True)
    assert not inspection.problems
    text = study_file(inspection, Path(name), Layout(**layout))
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    plan = build_plan(*load_config(folder / "study.yaml", environment={}))
    return text, plan, gather_facts(plan, open_data(plan))


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_is_accepted_unchanged_for_every_kind_of_data(tmp_path: Path, kind: str) -> None:
    _, plan, facts = written(tmp_path, kind)

    assert not build_defaults(plan, facts)
    assert sum(facts.events.values()) == COUNT


@pytest.mark.parametrize("kind", KINDS)
def test_every_line_that_is_switched_off_may_be_switched_on(tmp_path: Path, kind: str) -> None:
    text, _, _ = written(tmp_path, kind)
    switched_on = re.sub(r"^  # (?=[\w.]+: )", "  ", text, flags=re.MULTILINE)
    (tmp_path / "study.yaml").write_text(switched_on, encoding="utf-8")

    config, folder = load_config(tmp_path / "study.yaml", environment={})

    assert config.budget.trial_timeout == 4 * 3600
    assert config.training.early_stop == 4
    assert config.space["optimizer"] == "adamw"
    build_plan(config, folder)


@pytest.mark.parametrize(
    ("kind", "objective"),
    [
        ("three classes", "multiclass"),
        ("two classes", {"name": "binary", "positive": 2, "negative": 1}),
        ("positive numbers", {"name": "regression", "target": "log"}),
        ("any numbers", {"name": "regression", "target": "standardised"}),
        ("colour images", "multiclass"),
    ],
)
def test_the_objective_fits_the_target(tmp_path: Path, kind: str, objective: Any) -> None:
    text, _, _ = written(tmp_path, kind)

    assert parse_yaml(text, "")["objective"] == objective


def test_the_classes_and_the_data_are_described(tmp_path: Path) -> None:
    text, _, _ = written(tmp_path, "named classes")

    assert text.startswith("# A study of events.h5: 60 events of 2×4×5 (channels×rows×columns), 0.018 MB.")
    assert "#   0 a: b # c: 30 events\n#   1 d: 30 events\n" in text


def test_cuts_are_offered_where_the_file_has_what_they_need(tmp_path: Path) -> None:
    assert "# select: {classes: [0, 1], energy: [99, 901]}" in written(tmp_path, "three classes")[0]
    assert "select" not in written(tmp_path, "two classes")[0]


@pytest.mark.parametrize("name", ["my events (1).h5", "-x.h5", "true.h5", "2026.h5", "ü ß: {#}.h5", "' \".h5"])
def test_any_name_of_a_file_makes_a_valid_study_file(tmp_path: Path, name: str) -> None:
    _, plan, _ = written(tmp_path, "two classes", name)

    assert plan.data_path == tmp_path / name
    assert plan.config.name
