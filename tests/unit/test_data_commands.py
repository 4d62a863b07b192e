"""The commands that look at data: inspect, init and check, as a user meets them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from click.testing import Result
from matplotlib.image import imread
from rich.console import Console
from typer.testing import CliRunner

from storage.hdf5 import Layout, write_events
from study.checking import CheckReport, check_study
from study.cli import app
from study.cli._reports import check_report, inspection_report
from study.inspection import draw_rows, inspect_file

COUNT = 60
LABELS = np.arange(COUNT) % 3
QUICK = ("--set", "space.model=mlp")
Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`e.h5` of 60 events with some datasets replaced, and `s.yaml` for it."""

    def write(study: str = "data: {path: e.h5}", **changes: Any) -> Path:
        random = np.random.default_rng(0)
        datasets = {
            "event_data": random.random((COUNT, 4, 5, 2), dtype=np.float32),
            "labels": LABELS,
            "energies": 100 + np.arange(COUNT, dtype=np.float32),
        } | changes
        with h5py.File(tmp_path / "e.h5", "w") as file:
            for name, values in datasets.items():
                file[name] = values
            file.attrs["class_names"] = ["gamma", "electron", "muon"]
        (tmp_path / "s.yaml").write_text(study)
        return tmp_path / "e.h5"

    return write


def run(*arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result


def refused(*arguments: str) -> str:
    """The one message of a command that ends with status 2."""
    result = run(*arguments, status=2)
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("error: ") == 1
    return result.stderr


def test_inspect_prints_shapes_classes_and_statistics(write: Write) -> None:
    write()

    text = run("inspect", "e.h5").stdout

    assert "60 of 2×4×5 (C×H×W), float32, 0.009 MB, memory-mapped" in text
    assert "class 1   electron: 20 events (33.3%)" in text
    assert "minimum 100, mean 129.5, maximum 159" in text
    assert "no problems found" in text


def test_inspect_prints_valid_json(write: Write) -> None:
    write()

    found = json.loads(run("inspect", "e.h5", "--json").stdout)

    assert found["shape"] == [2, 4, 5]
    assert found["classes"][2] == {"label": 2, "name": "muon", "events": 20}


def test_inspect_draws_one_event_of_each_class(write: Write, tmp_path: Path) -> None:
    write()

    run("inspect", "e.h5", "--draw", "e.png")

    assert imread(tmp_path / "e.png").shape[1] > 900


def test_inspect_draws_the_events_that_are_asked_for_beside_where_it_is_run(write: Write, tmp_path: Path) -> None:
    write()

    result = run("inspect", "e.h5", "--events", "0, 17,59")

    assert "drew 3 events to e-events.png" in result.stderr
    assert imread(tmp_path / "e-events.png").shape[1] > 1200


def test_inspect_draws_the_events_that_are_asked_for_where_it_is_told(write: Write, tmp_path: Path) -> None:
    write()

    run("inspect", "e.h5", "--events", "3", "--draw", "three.png")

    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["three.png"]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("60", "e.h5: has no event 60; accepted are 0 to 59 (60 events)"),
        ("-1", "--events -1: accepted are the numbers of events, from 0"),
        ("1,,2", "--events 1,,2: accepted are the numbers"),
        ("first", "--events first: accepted are the numbers"),
        (",".join(map(str, range(33))), "--events: 33 events are given; accepted are 1 to 32 in one picture"),
    ],
)
def test_inspect_refuses_rows_that_are_no_events_and_draws_nothing(
    write: Write, tmp_path: Path, rows: str, problem: str
) -> None:
    write()

    result = run("inspect", "e.h5", f"--events={rows}", status=2)

    assert problem in result.stderr
    assert not list(tmp_path.glob("*.png"))


def test_the_events_of_a_picture_are_titled_with_class_and_energy(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    titles: list[str] = []
    monkeypatch.setattr("study._images.draw_images", lambda images, path, given, *, label: titles.extend(given))

    draw_rows(write(), Layout(), [4, 59], tmp_path / "e.png")
    draw_rows(write(), Layout(target="energies"), [4], tmp_path / "e.png")

    assert titles == ["electron, event 4, 104 MeV", "muon, event 59, 159 MeV", "event 4, 104 MeV"]


def test_init_writes_a_file_that_check_accepts_unchanged(write: Write, tmp_path: Path) -> None:
    write()
    (tmp_path / "below").mkdir()

    run("init", "--data", "e.h5", "below/study.yaml")
    report = json.loads(run("check", "below/study.yaml", "--json").stdout)

    assert report["events"] == {"training": 48, "validation": 6, "test": 6}
    assert [cost["family"] for cost in report["costs"]] == ["cnn", "resnet", "densenet", "mlp"]
    assert all(cost["epoch_s"] > 0 and cost["memory_mb"] > 0 for cost in report["costs"])


def test_init_names_data_beside_the_study_file_by_a_relative_path(write: Write, tmp_path: Path) -> None:
    write()

    run("init", "--data", str(tmp_path / "e.h5"))

    assert "  path: e.h5\n" in (tmp_path / "study.yaml").read_text()


def test_init_overwrites_only_when_told(write: Write, tmp_path: Path) -> None:
    write()
    (tmp_path / "study.yaml").write_text("mine")

    assert "study.yaml exists; --force overwrites it" in refused("init", "--data", "e.h5")
    assert (tmp_path / "study.yaml").read_text() == "mine"
    run("init", "--data", "e.h5", "--force")
    assert (tmp_path / "study.yaml").read_text() != "mine"


BAD = np.ones((COUNT, 4, 5, 2), np.float32)
BAD[5, 0, 0, 0] = np.nan
LOOK, MAKE, CHECK = ("inspect", "e.h5"), ("init", "--data", "e.h5"), ("check", "s.yaml", *QUICK)


@pytest.mark.parametrize("command", [LOOK, MAKE, CHECK], ids=["inspect", "init", "check"])
@pytest.mark.parametrize(
    ("changes", "dataset"),
    [
        ({"labels": LABELS - 1}, "dataset 'labels'"),
        ({"labels": LABELS + 1}, "dataset 'labels'"),
        ({"labels": np.where(np.arange(COUNT) == 3, 0.5, LABELS)}, "dataset 'labels'"),
        ({"labels": np.where(np.arange(COUNT) == 3, np.nan, LABELS)}, "dataset 'labels'"),
        ({"labels": LABELS * 0}, "dataset 'labels'"),
        ({"labels": LABELS[:9]}, "dataset 'labels'"),
        ({"labels": np.stack([LABELS, LABELS], 1)}, "dataset 'labels'"),
        ({"event_data": BAD}, "dataset 'event_data'"),
        ({"event_data": BAD[:, 0]}, "dataset 'event_data'"),
        ({"event_data": BAD.astype(np.complex64)}, "dataset 'event_data'"),
        ({"event_data": BAD[:0]}, "dataset 'event_data'"),
    ],
)
def test_bad_data_end_with_2_and_one_message_that_names_file_and_dataset(
    write: Write, tmp_path: Path, changes: dict[str, Any], dataset: str, command: tuple[str, ...]
) -> None:
    write(**changes)

    message = refused(*command)

    assert "e.h5: " in message
    assert dataset in message
    assert not (tmp_path / "study.yaml").exists()


@pytest.mark.parametrize("command", [LOOK, MAKE, CHECK], ids=["inspect", "init", "check"])
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "e.h5: does not exist; give the path of an HDF5 file"),
        (b"not hdf5 at all", "e.h5: is not an HDF5 file"),
        (b"", "e.h5: is empty or damaged"),
    ],
)
def test_a_file_that_is_no_hdf5_ends_with_2(
    write: Write, tmp_path: Path, content: bytes | None, problem: str, command: tuple[str, ...]
) -> None:
    path = write()
    path.unlink()
    if content is not None:
        path.write_bytes(content)

    assert problem in refused(*command)


@pytest.mark.parametrize("command", [LOOK, MAKE, CHECK], ids=["inspect", "init", "check"])
@pytest.mark.parametrize("kept", [0.4, 0.9])
def test_an_interrupted_download_ends_with_2(tmp_path: Path, kept: float, command: tuple[str, ...]) -> None:
    block = {"event_data": np.ones((COUNT, 4, 5, 2), np.float32), "labels": LABELS}
    write_events(tmp_path / "e.h5", [block], count=COUNT)
    whole = (tmp_path / "e.h5").read_bytes()
    (tmp_path / "e.h5").write_bytes(whole[: int(kept * len(whole))])
    (tmp_path / "s.yaml").write_text("data: {path: e.h5}")

    assert "interrupted download" in refused(*command)


def test_a_missing_dataset_is_refused_with_those_present_and_the_options_that_name_them(write: Write) -> None:
    path = write("data: {path: e.h5, target: label}", images=np.zeros((COUNT, 8, 8)))
    with h5py.File(path, "a") as file:
        del file["event_data"]

    inspect, check = (
        refused("inspect", "e.h5"),
        refused("check", "s.yaml", "--set", "data.events=images", "--set", "data.axes=NHW"),
    )

    assert "it has 'energies', 'images', 'labels'; name one of these with --events-name or --target" in inspect
    assert "perhaps --events-name images --axes NHW" in inspect
    assert "has no dataset 'label'; it has 'energies', 'images', 'labels'" in check
    assert "under `data`, for example 'labels'" in check


@pytest.mark.parametrize(
    ("study", "problem"),
    [
        ("data: {path: e.h5", "s.yaml, line 1, column "),
        ("data: {path: e.h5}\nbudget: {trails: 3}", "unknown key budget.trails; did you mean budget.trials?"),
        ("data: {path: e.h5, split: {validation: 0.001}}", "e.h5: data.split: 0.001 of 60 events leaves"),
        (
            "data: {path: e.h5, select: {energy: [1, 2]}}",
            "e.h5: `data.select` leaves no event: 60 events; energy",
        ),
        ("data: {path: e.h5, axes: NHW}", "e.h5: dataset 'event_data' has 4 axes"),
        ("data: {path: e.h5}\nspace: {model: cmm}", "space.model: 'cmm' is unknown"),
        ("data: {path: e.h5}\nspace: {lr: fast}", 'space.lr is "fast"'),
    ],
)
def test_a_study_file_that_does_not_fit_ends_with_2(write: Write, study: str, problem: str) -> None:
    write(study)

    assert problem in refused("check", "s.yaml")


def test_a_missing_study_file_ends_with_2(write: Write) -> None:
    write()

    assert "there is no study file no.yaml; study files there: s.yaml" in refused("check", "no.yaml")


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", "e.h5", "--axes", "HWC"),
        ("inspect", "e.h5", "--events-name", ""),
        ("inspect", "e.h5", "--draw", "none/x.png"),
        ("init", "--data", "e.h5", "none/s.yaml"),
        ("init", "--data", "e.h5", "."),
        ("simulate", "none/x.h5", "--events", "1"),
        ("simulate", "e.h5", "--events", "1"),
        ("check", "s.yaml", "--set", "budget.trials"),
    ],
)
def test_options_that_cannot_be_end_with_2_before_anything_is_written(
    write: Write, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    write()

    refused(*arguments)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.h5", "s.yaml"]


def test_check_accepts_and_predicts(write: Write) -> None:
    write()

    text = run("check", "s.yaml", *QUICK, "--set", "training.epochs=2").stdout

    assert "s is valid: multiclass, maximize accuracy" in text
    assert "48 training, 6 validation, 6 test" in text
    assert "mlp.width" in text


def report_of(*sets: str) -> CheckReport:
    return check_study(Path("s.yaml"), ["space.model=mlp", *sets])


def printed(report: CheckReport) -> str:
    console = Console(width=100)
    with console.capture() as capture:
        check_report(console, report)
    return capture.get()


def test_the_report_of_a_check_fits_a_hundred_columns(write: Write) -> None:
    write()

    text = printed(check_study(Path("s.yaml"), ["space.model={choice: [cnn, mlp]}"]))

    assert max(map(len, text.splitlines())) <= 100
    assert "fixed     nesterov true, warmup 0.05, label_smoothing 0" in text
    assert "learning rate at its highest" in text
    assert "units of each hidden layer of the head (when" in text
    assert "predicted on one core of this machine:" in text


def test_the_report_of_a_check_names_what_is_never_used(write: Write) -> None:
    write()

    text = printed(report_of("space.optimizer=adam", "space.momentum=0.5"))

    assert "unused    momentum: " in text
    assert "momentum" not in {parameter["name"] for parameter in report_of("space.optimizer=adam").searched}


def test_predictions_grow_with_epochs_and_trials(write: Write) -> None:
    write()

    report = report_of("training.epochs=10", "budget.trials=7")

    (cost,) = report.costs
    assert cost.trial_s == pytest.approx(10 * cost.epoch_s)
    assert cost.worst_epoch_s >= cost.epoch_s
    assert report.study_s == pytest.approx(7 * cost.trial_s)
    assert report.data_mb == pytest.approx(54 * 40 * 4 / 2**20, abs=0.1)


def test_names_with_brackets_are_printed_as_they_are(write: Write) -> None:
    path = write()
    with h5py.File(path, "a") as file:
        file.attrs["class_names"] = ["[red]", "[/]", "a[b]"]
    console = Console(width=100)

    with console.capture() as capture:
        inspection_report(console, inspect_file(path, Layout(), every=True))

    assert all(name in capture.get() for name in ("[red]: 20", "[/]: 20", "a[b]: 20"))
