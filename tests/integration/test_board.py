"""The study's note and plots, as the stock dashboard reads them."""

import json
from collections.abc import Callable
from typing import Any

import jobs
import optuna
import pytest
from lab import CNN, ODD, Lab
from optuna.storages import RDBStorage
from optuna_dashboard import get_note, save_note
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects

from storage import board, studies
from storage.database import Database
from storage.trials import open_storage

PLOTS = [
    *("1-learning-curves", "2-worker-timeline", "3-accuracy-against-cost"),
    *("4-confusion-matrix", "5-roc", "6-rejection", "7-response"),
]


Shown = Callable[[str, str], tuple[str, dict[str, dict[str, Any]]]]


@pytest.fixture
def shown(stock: Callable[[str], RDBStorage]) -> Shown:
    """Note and plots of a study in a database, by stock Optuna and the stock dashboard."""
    return lambda url, name: _shown(stock(url), name)


def _shown(storage: RDBStorage, name: str) -> tuple[str, dict[str, dict[str, Any]]]:
    study = optuna.load_study(study_name=name, storage=storage)
    plots = get_plotly_graph_objects(storage.get_study_system_attrs(study._study_id))
    return get_note(study), {key: json.loads(text) for key, text in sorted(plots.items()) if text}


def test_an_agent_leaves_note_and_plots_of_its_study(lab: Lab, shown: Shown) -> None:
    lab.create(budget={"trials": 4})

    lab.work()

    note, plots = shown(lab.url, "q")
    best = max(trial.value or 0 for trial in lab.trials() if trial.state.name == "COMPLETE")
    assert "**finished**: 4 of 4 trials started" in note
    assert f"Best accuracy: **{best:.4f}**" in note
    assert list(plots) == PLOTS
    (matrix,) = plots["4-confusion-matrix"]["data"]
    assert matrix["x"] == ["0", "1", "2"]
    bars = plots["2-worker-timeline"]["data"]
    assert sum(len(trace["x"]) for trace in bars) == 4


def test_a_regression_has_its_own_plots(lab: Lab, shown: Shown) -> None:
    lab.create(budget={"trials": 1}, objective="regression", space=CNN | {"lr": 1e-3}, search={"pruner": "none"})

    lab.work(workers=1)

    _, plots = shown(lab.url, "q")
    assert list(plots) == [*PLOTS[:3], "7-response"]
    assert plots["3-accuracy-against-cost"]["layout"]["yaxis"]["title"]["text"] == "rmse"


def test_failures_show_in_the_timeline_and_the_note(lab: Lab, shown: Shown) -> None:
    lab.create(budget={"trials": 1}, space=ODD | {"odd.mood": "error"})

    lab.work(workers=1)

    note, plots = shown(lab.url, "q")
    assert "Failures: 1 error." in note
    assert [trace["name"] for trace in plots["2-worker-timeline"]["data"]] == ["failed"]
    assert list(plots) == ["2-worker-timeline"]


def test_one_agent_refreshes_in_a_minute(url: str, database: Database) -> None:
    jobs.create(url)
    study_id = studies.load_study(database, "study").study_id

    assert [studies.take_refresh(database, study_id, 60.0) for _ in range(3)] == [True, False, False]
    assert studies.take_refresh(database, study_id, 0.0)


def test_what_people_write_in_the_note_stays(url: str, database: Database) -> None:
    jobs.create(url)
    storage = open_storage(url)
    study = optuna.load_study(study_name="study", storage=storage)
    board.write_board(database, study._study_id, "first " * 1000, {})
    save_note(study, f"mine above\n{get_note(study)}\nmine below")

    board.write_board(database, study._study_id, "second", {})

    note = get_note(study)
    storage.close()
    assert note.startswith("mine above\n")
    assert note.endswith("\nmine below")
    assert "second" in note
    assert "first" not in note


def test_a_plot_that_becomes_shorter_leaves_nothing_of_the_longer_one(
    url: str, database: Database, shown: Shown
) -> None:
    jobs.create(url)
    study_id = studies.load_study(database, "study").study_id
    board.write_board(database, study_id, "", {"1-plot": {"data": ["x" * 10_000]}, "2-plot": {"data": []}})

    board.write_board(database, study_id, "", {"1-plot": {"data": ["y"]}})

    assert shown(url, "study")[1] == {"1-plot": {"data": ["y"]}, "2-plot": {"data": []}}


def test_an_unchanged_note_keeps_its_version(url: str, database: Database) -> None:
    jobs.create(url)
    storage = open_storage(url)
    study_id = studies.load_study(database, "study").study_id
    versions = []
    for note in ("a", "a", "b"):
        board.write_board(database, study_id, note, {})
        versions.append(storage.get_study_system_attrs(study_id)[board.NOTE_VERSION])
    storage.close()

    assert versions == [1, 1, 2]


def test_the_board_of_a_deleted_study_is_not_written(url: str, database: Database) -> None:
    jobs.create(url)
    study_id = studies.load_study(database, "study").study_id
    storage = open_storage(url)
    storage.delete_study(study_id)
    storage.close()

    board.write_board(database, study_id, "note", {"1-plot": {}})

    assert studies.list_studies(database) == []
