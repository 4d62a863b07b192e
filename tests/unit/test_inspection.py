from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from matplotlib.image import imread

from storage.errors import DataError
from storage.hdf5 import Layout
from study.inspection import Inspection, draw_classes, inspect_file, suggestion

COUNT = 60
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A file of 60 events with some datasets replaced; a dataset of None is left out."""

    def write(names: Any = None, **changes: Any) -> Path:
        random = np.random.default_rng(0)
        datasets = {
            "event_data": random.random((COUNT, 4, 5, 2), dtype=np.float32),
            "labels": np.arange(COUNT) % 3,
            "energies": 100 + np.arange(COUNT, dtype=np.float32)[:, None],
        } | changes
        path = tmp_path / "e.h5"
        with h5py.File(path, "w") as file:
            for name, values in datasets.items():
                if values is not None:
                    file[name] = values
            if names:
                file.attrs["class_names"] = names
        return path

    return write


def look(path: Path, **layout: str) -> Inspection:
    return inspect_file(path, Layout(**layout), every=True)


def test_shapes_classes_and_statistics_are_told(write: Write) -> None:
    found = look(write(["gamma", "e", "mu"]))

    assert (found.count, found.shape, found.dtype, found.mapped) == (COUNT, (2, 4, 5), "float32", True)
    assert found.datasets == {"energies": (COUNT, 1), "event_data": (COUNT, 4, 5, 2), "labels": (COUNT,)}
    assert [(item.label, item.name, item.events) for item in found.classes] == [
        (0, "gamma", 20),
        (1, "e", 20),
        (2, "mu", 20),
    ]
    assert found.columns["energies"] == {"minimum": 100.0, "mean": 129.5, "maximum": 159.0}
    assert 0.45 < found.statistics["mean"] < 0.55
    assert not found.problems
    assert not found.remarks


def test_a_target_of_numbers_has_a_range_in_place_of_classes(write: Write) -> None:
    found = look(write(energies=np.linspace(0.5, 1.5, COUNT)), target="energies")

    assert not found.classes
    assert found.target == pytest.approx({"minimum": 0.5, "mean": 1.0, "maximum": 1.5})
    assert not found.problems


def test_whole_numbers_stored_as_floats_are_classes_when_they_are_few(write: Write) -> None:
    assert len(look(write(labels=(np.arange(COUNT) % 3).astype(np.float32))).classes) == 3
    many = np.arange(COUNT).repeat(3)[:COUNT].astype(np.float64) * 7
    assert len(look(write(labels=many)).classes) == 20


BAD = np.ones((COUNT, 4, 5, 2), np.float32)
BAD[[5, 9], 0, 0, 0] = [np.nan, np.inf]
LABELS = np.arange(COUNT) % 3


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"event_data": BAD}, "dataset 'event_data' has 1 NaN and 1 infinite values in 2 events, first in event 5"),
        ({"labels": LABELS - 1}, "dataset 'labels' has the labels -1; accepted are whole numbers from 0 up"),
        ({"labels": LABELS + 1}, "dataset 'labels' has the labels 3, but there are 3 class names (a, b, c)"),
        ({"labels": np.where(np.arange(COUNT) == 7, 0.5, LABELS)}, "has 0.5 at event 7 and 0 more fractions among"),
        ({"labels": np.where(np.arange(COUNT) == 7, np.nan, LABELS)}, "1 values that are not finite, first at event 7"),
        ({"labels": np.full(COUNT, np.nan)}, "60 values that are not finite, first at event 0"),
        ({"labels": np.where(np.arange(COUNT) == 3, 2, LABELS % 2)}, "has only one event each of 2; select"),
        ({"labels": LABELS * 0}, "has one class only, a; name another dataset"),
        ({"labels": np.stack([LABELS, LABELS], 1)}, "dataset 'labels' has 2 numbers per event; a target is one"),
        ({"labels": LABELS[:50]}, "dataset 'labels' has shape (50,), but 'event_data' has 60 events"),
        ({"labels": None}, "has no dataset 'labels'; it has 'energies', 'event_data'"),
    ],
)
def test_what_would_stop_a_training_is_a_problem(write: Write, changes: Mapping[str, Any], problem: str) -> None:
    path = write(["a", "b", "c"], **changes)

    found = look(path)

    assert len(found.problems) == 1
    assert problem in found.problems[0]
    assert found.problems[0].startswith(f"{path}: ")


def test_values_that_are_not_finite_outside_the_sample_are_found_on_request(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.inspection.SAMPLED", 10)
    path = write(event_data=BAD)

    assert not inspect_file(path, Layout(), every=False).problems
    assert "--all reads every one" in inspect_file(path, Layout(), every=False).remarks[0]
    assert inspect_file(path, Layout(), every=True).problems


def test_rare_classes_and_compressed_events_are_remarked(write: Write) -> None:
    path = write(labels=np.where(np.arange(COUNT) < 5, 2, LABELS % 2))
    with h5py.File(path, "a") as file:
        events = file["event_data"][()]
        del file["event_data"]
        file.create_dataset("event_data", data=events, chunks=(10, 4, 5, 2), compression="gzip")

    found = look(path)

    assert not found.problems
    assert not found.mapped
    assert found.remarks == [
        "classes with fewer than 10 events: 2 (5)",
        "events are chunked, compressed or of foreign byte order: `launch` converts them once, into a folder beside "
        "the file or STUDYHALL_CACHE",
    ]


def test_axes_that_look_swapped_are_remarked(write: Write) -> None:
    path = write(event_data=np.zeros((COUNT, 3, 8, 8), np.uint8))

    assert look(path).remarks == ["axes NHWC mean 8 channels; if there are 3, the axes are NCHW"]
    assert look(path, axes="NCHW").remarks == []


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((COUNT, 8, 8), "--events-name images --axes NHW"),
        ((COUNT, 3, 8, 8), "--events-name images --axes NCHW"),
        ((COUNT, 8, 8, 3), "--events-name images"),
        ((COUNT, 8), ""),
    ],
)
def test_the_dataset_most_like_images_is_suggested(write: Write, shape: tuple[int, ...], options: str) -> None:
    assert (
        suggestion(write(event_data=None, images=np.zeros(shape), noise=np.zeros((2, 2, 2)) if options else 0))
        == options
    )


def test_a_file_without_the_events_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match=r"has no dataset 'event_data'; it has 'energies', 'images', 'labels'"):
        look(write(event_data=None, images=np.zeros((COUNT, 8, 8))))


@pytest.mark.parametrize(
    ("events", "axes"),
    [
        (np.zeros((COUNT, 16, 40, 38), np.float32), "NHWC"),
        (np.arange(COUNT * 40).reshape(COUNT, 4, 5, 2).astype(np.uint16), "NHWC"),
        (np.full((COUNT, 3, 8, 8), 200, np.uint8), "NCHW"),
        (np.random.default_rng(0).exponential(size=(COUNT, 8, 6)) ** 8, "NHW"),
        (BAD, "NHWC"),
    ],
)
def test_one_event_of_each_class_is_drawn(write: Write, tmp_path: Path, events: np.ndarray, axes: str) -> None:
    path = write(["$a", "b_{", "c"], event_data=events)

    draw_classes(path, Layout(axes=axes), tmp_path / "out.png")

    picture = imread(tmp_path / "out.png")
    assert picture.shape[0] > 300
    assert picture.shape[1] > 900
    assert picture.std() > 0.01
    assert sorted(item.name for item in tmp_path.iterdir()) == ["e.h5", "out.png"]


def test_a_target_without_classes_gives_one_picture(write: Write, tmp_path: Path) -> None:
    draw_classes(write(energies=np.linspace(0.1, 1, COUNT)), Layout(target="energies"), tmp_path / "out.png")

    assert imread(tmp_path / "out.png").shape[1] < 900
