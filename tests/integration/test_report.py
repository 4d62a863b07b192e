"""The report of an export: one page that needs nothing else, and says no more than was opened."""

import base64
import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from lab import CNN, Lab
from typer.testing import CliRunner

from storage.database import Database
from storage.errors import ConfigError, DataError
from study.cli import app
from study.export import export_trials
from study.report import write_report

ENERGIES = {"target": "energies", "split": {"validation": 0.25, "test": 0.1}}


def exported(lab: Lab, **sections: Any) -> Path:
    lab.create(space=CNN, budget={"trials": 1}, **sections)
    lab.work(workers=1)
    database = Database(lab.url)
    try:
        return export_trials(database, "q", lab.folder / "best")[0].folder
    finally:
        database.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An export of three named classes with energies, and beside it events.h5."""
    lab = Lab(tmp_path_factory.mktemp("report") / "lab")
    with h5py.File(lab.folder / "events.h5", "a") as file:
        file["energies"] = np.linspace(100, 1000, 200, dtype=np.float32)[:, None]
        file.attrs["class_names"] = ["gamma", "electron", "<muon&>"]
    yield exported(lab)
    lab.clean_up()


@pytest.fixture
def export(made: Path, tmp_path: Path) -> Path:
    """A copy of the export, whose data can still be read."""
    return shutil.copytree(made, tmp_path / "best")


def without_diagnostics(export: Path) -> None:
    path = export / "metrics.json"
    tree = json.loads(path.read_text())
    path.write_text(json.dumps({part: tree[part] for part in ("validation", "test")}))


def without_data(export: Path) -> None:
    """As if the data file had been moved away."""
    path = export / "config.yaml"
    path.write_text(path.read_text().replace("events.h5", "moved.h5"))


def headings(page: str) -> list[str]:
    return re.findall(r"<(?:h3|h2|summary)>([^<]*)<", page)


class Balance(HTMLParser):
    """Whether every element that is opened is closed, and what the page asks for elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elsewhere: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.elsewhere += [str(v) for name, v in attrs if name in ("src", "href") and not str(v).startswith("data:")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_report_is_one_whole_page_without_scripts_or_links(export: Path) -> None:
    page = write_report(export).read_text()

    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert parser.elsewhere == []
    assert parser.tags & {"script", "link", "iframe"} == set()
    assert "url(" not in page
    for data in re.findall(r"base64,([^\"]+)", page):
        assert base64.b64decode(data).startswith(b"\x89PNG")


def test_a_report_shows_metrics_hyperparameters_and_all_figures(export: Path) -> None:
    page = write_report(export).read_text()

    metrics = json.loads((export / "metrics.json").read_text())
    assert f"{metrics['test']['accuracy']:.4f}" in page
    assert f"{metrics['validation']['log_loss']:.4f}" in page
    assert ">cnn.width<" in page
    figures = ["Confusion matrix", "Probabilities", "Efficiency against energy", "ROC: electron against gamma"]
    figures += ["Background rejection", "Significance gain", "All pairs of classes"]
    assert headings(page)[:3] == ["Metrics", "Training", "Learning curves"]
    assert headings(page)[3:11] == ["The test events", *figures]
    assert "The validation events" in headings(page)
    assert "Events that are most wrong" in headings(page)


def test_what_a_file_calls_its_classes_is_never_markup(export: Path) -> None:
    page = write_report(export, pair="<muon&>,gamma").read_text()

    assert "<muon" not in page
    assert "ROC: &lt;muon&amp;&gt; against gamma" in page


def test_a_report_needs_no_data_and_says_that_events_cannot_be_shown(export: Path) -> None:
    without_data(export)

    page = write_report(export).read_text()

    assert "Events cannot be shown: " in page
    assert "ROC: electron against gamma" in page


def test_an_older_export_gets_the_same_figures_from_the_data(export: Path) -> None:
    first = write_report(export).read_text()
    without_diagnostics(export)

    again = write_report(export).read_text()

    assert [item for item in headings(first) if item not in ("Training", "Learning curves")] == headings(again)
    assert re.findall(r"<td class=.number.>[^<]*", first) == re.findall(r"<td class=.number.>[^<]*", again)


def test_an_older_export_whose_data_are_gone_is_refused_with_the_reason(export: Path) -> None:
    without_diagnostics(export)
    without_data(export)

    with pytest.raises(DataError, match=r"metrics\.json has no diagnostics.*moved\.h5.*export the trial again"):
        write_report(export)

    assert not (export / "report.html").exists()


def test_test_events_that_were_not_opened_stay_closed(export: Path) -> None:
    path = export / "metrics.json"
    path.write_text(json.dumps({"validation": json.loads(path.read_text())["validation"], "test": None}))

    page = write_report(export).read_text()

    assert "No test events were opened for it." in page
    assert "The test events" not in headings(page)
    assert "The validation events" in headings(page)


def test_a_pair_of_classes_may_be_chosen_in_either_order(export: Path) -> None:
    one, other = (write_report(export, pair=pair).read_text() for pair in ("gamma,electron", "electron, gamma"))

    assert "ROC: gamma against electron" in one
    assert "ROC: electron against gamma" in other


@pytest.mark.parametrize("pair", ["gamma", "gamma,proton", "gamma,gamma", "", ","])
def test_a_pair_that_is_none_is_refused_with_the_classes_there_are(export: Path, pair: str) -> None:
    with pytest.raises(ConfigError, match="two different classes as SIGNAL,BACKGROUND, of gamma, electron, <muon&>"):
        write_report(export, pair=pair)


def test_a_report_is_replaced_by_a_report_but_another_file_is_left_alone(export: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.html"
    mine.write_text("<p>mine</p>")

    assert write_report(export, tmp_path / "r.html") == write_report(export, tmp_path / "r.html")
    with pytest.raises(FileExistsError, match=r"mine\.html exists and is no report"):
        write_report(export, mine)
    assert mine.read_text() == "<p>mine</p>"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "mine.html", "r.html"]


def test_the_command_writes_the_report_and_ends_with_2_where_it_cannot(export: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(export)])
    folder = CliRunner().invoke(app, ["report", str(tmp_path)])
    nowhere = CliRunner().invoke(app, ["report", str(export), "--out", str(tmp_path / "none" / "r.html")])

    assert (done.exit_code, folder.exit_code, nowhere.exit_code) == (0, 2, 2)
    assert "report.html" in done.stderr
    assert "is no export" in folder.stderr
    assert "does not exist; create it first" in nowhere.stderr


def test_a_regression_shows_response_resolution_and_bias_in_mev(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab")
    with h5py.File(lab.folder / "events.h5", "a") as file:
        file["energies"] = 100.0 + 100 * file["labels"][()] + np.arange(200)
    export = exported(lab, data=ENERGIES, objective={"name": "regression"})

    page = write_report(export).read_text()

    lab.clean_up()
    diagnostics = json.loads((export / "metrics.json").read_text())["diagnostics"]["test"]
    figures = ["Predicted against true", "Residuals", "Resolution and bias against the true value"]
    assert headings(page)[3:7] == ["The test events", *figures]
    assert diagnostics["target"] == {"name": "energies", "unit": "MeV"}
    assert "## Response" in (export / "README.md").read_text()
    with pytest.raises(ConfigError, match="has no ROC curves"):
        write_report(export, pair="a,b")
