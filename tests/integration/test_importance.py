"""What mattered in a study is told by `status --importance`, the note, an export and its report."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from jobs import took
from lab import CNN, Lab
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from storage import attempts
from storage.database import Database
from storage.endings import Ending
from storage.history import History
from study.board.note import study_note
from study.bundle import load_bundle
from study.export import export_trials
from study.importance import study_importances
from study.report import write_report
from study.stored import load_stored
from study.summary import summarise

LR, OPTIMIZER = FloatDistribution(1e-4, 1e-1, log=True), CategoricalDistribution(["sgd", "adam"])
TRIALS = 60


@pytest.fixture
def database(lab: Lab) -> Iterator[Database]:
    found = Database(lab.url)
    yield found
    found.close()


def recorded(lab: Lab, database: Database) -> None:
    """A study whose value is that of its learning rate, and whose optimizer does nothing."""
    space = {**CNN, "lr": {"float": [1e-4, 1e-1], "log": True}, "optimizer": {"choice": ["sgd", "adam"]}}
    lab.create(space=space, budget={"trials": TRIALS})
    study_id, random = load_stored(database, "q").study_id, np.random.default_rng(0)
    for _ in range(TRIALS):
        claim = took(database, study_id)
        lr = float(10 ** random.uniform(-4, -1))
        attempts.sample(database, claim, {"lr": (lr, LR), "optimizer": (float(random.integers(2)), OPTIMIZER)})
        value = -((np.log10(lr) + 2.5) ** 2)
        attempts.report(database, claim, 1, value)
        attempts.finish(database, claim, Ending(TrialState.COMPLETE, values=(value,)))


def test_status_tells_what_mattered_as_text_and_as_json(lab: Lab, database: Database) -> None:
    recorded(lab, database)

    status, text = lab.run("status", "q", "--importance", "--trials", "0")
    _, found = lab.run("status", "q", "--importance", "--json")
    _, without = lab.run("status", "q", "--json")

    rows = {words[0]: words for line in text.splitlines() if (words := line.split())}
    (group,) = json.loads(found)["importance"]
    assert status == 0
    assert (rows["lr"][3], rows["optimizer"][3]) == ("yes", "no")
    assert [(one["name"], one["told"]) for one in group["parameters"]] == [("lr", True), ("optimizer", False)]
    assert (group["group"], group["trials"], group["best"]) == ("the model", TRIALS, 6)
    assert "importance" not in json.loads(without)


def test_the_note_names_what_mattered(lab: Lab, database: Database) -> None:
    recorded(lab, database)
    stored = load_stored(database, "q")
    summary = summarise(database, stored, history=History(database, stored.study_id))

    note = study_note(summary, stored.study_id, study_importances(database, summary.trials, stored.objectives))

    assert "- the model (60 trials): **lr** " in note
    assert "**optimizer**" not in note


def test_a_study_that_searches_nothing_has_nothing_that_mattered(lab: Lab, database: Database) -> None:
    lab.create(space=CNN)

    status, text = lab.run("status", "q", "--importance")

    assert status == 0
    assert "no parameter is searched" in text


def test_an_export_carries_it_and_its_report_shows_it(lab: Lab, database: Database, tmp_path: Path) -> None:
    lab.create(space={**CNN, "lr": {"float": [1e-3, 1e-1], "log": True}}, budget={"trials": 1})
    lab.work(workers=1)
    folder = export_trials(database, "q", lab.folder / "best", test=False)[0].folder
    few = load_bundle(folder).importance
    assert few[0]["note"].startswith("too few trials to tell anything: 1")
    assert "too few trials to tell anything: 1" in write_report(folder).read_text().lower()

    known = {"name": "lr", "share": 0.9, "sigma": 0.05, "told": True, "best": "0.002 to 0.004 (middle)"}
    many = {"group": "the model", "trials": 80, "complete": 20, "best": 8, "parameters": [known], "note": None}
    (folder / "importance.json").write_text(json.dumps([many]))
    page = write_report(folder).read_text()
    assert "What mattered in the search" in page
    assert "0.002 to 0.004 (middle)" in page

    older = shutil.copytree(folder, tmp_path / "older")
    (older / "importance.json").unlink()
    assert "What mattered in the search" not in write_report(older).read_text()
