from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from objectives._split import Selection, selected
from storage.errors import DataError
from storage.hdf5 import EventFile, Layout

COUNT = 6
POSITIONS = [[0, 0, 0], [30, 0, 40], [0, 99, 0], [-60, 0, 0], [0, -101, 0], [36, 10, -48.1]]


@pytest.fixture
def file(tmp_path: Path) -> EventFile:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["event_data"] = np.zeros((COUNT, 2, 2, 1), np.float32)
        file["labels"] = np.array([0, 1, 2, 0, 1, 2])
        file["energies"] = np.array([[100], [200], [300], [400], [500], [600]], np.float32)
        file["positions"] = np.array(POSITIONS, np.float32)[:, None, :]
    return EventFile.open(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("cuts", "expected"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"classes": (0, 2)}, [0, 2, 3, 5]),
        ({"energy": (200, 500)}, [1, 2, 3]),
        ({"energy": (200, float("inf"))}, [1, 2, 3, 4, 5]),
        ({"fiducial": {"radius": 60, "half_height": 100}}, [0, 1, 2, 3]),
        ({"fiducial": {"radius": 50, "half_height": 200}}, [0, 1, 2, 4]),
        ({"fiducial": {"radius": 50, "half_height": 100, "axis": "z"}}, [0, 1, 5]),
        ({"fiducial": {"half_height": 100}}, [0, 1, 2, 3, 5]),
        ({"classes": (1,), "energy": (0, 300)}, [1]),
    ],
)
def test_events_pass_all_cuts(file: EventFile, cuts: dict[str, Any], expected: list[int]) -> None:
    indices = selected(file, Selection(**cuts))

    assert indices.dtype == np.int64
    assert indices.tolist() == expected


def test_classes_are_labels_when_the_target_is_an_energy(file: EventFile) -> None:
    regression = EventFile.open(file.path, Layout(target="energies"))

    assert selected(regression, Selection(classes=(1,))).tolist() == [1, 4]


def test_nothing_left_tells_what_each_cut_left(file: EventFile) -> None:
    with pytest.raises(
        DataError, match=r"6 events; classes \[0, 1\] leaves 4; energy \[900, 1000\) MeV leaves 0; widen the cuts"
    ):
        selected(file, Selection(classes=(0, 1), energy=(900, 1000)))


def test_a_column_that_a_cut_needs_must_exist_and_fit(file: EventFile) -> None:
    with h5py.File(file.path, "a") as handle:
        del handle["energies"]
        handle["energies"] = np.zeros((COUNT, 2))
        del handle["positions"]

    with pytest.raises(DataError, match="no dataset 'positions'"):
        selected(file, Selection(fiducial={"radius": 1.0}))
    with pytest.raises(DataError, match=r"'energies' has 2 numbers per event; `data.select` needs 1"):
        selected(file, Selection(energy=(0, 1)))


@pytest.mark.parametrize(
    ("cuts", "message"),
    [
        ({"classes": ()}, "classes: is empty"),
        ({"energy": (5, 5)}, r"energy: \[5, 5\] is empty"),
        ({"fiducial": {}}, "accepted are radius, half_height"),
        ({"fiducial": {"radius": 1, "height": 2}}, "accepted are radius, half_height"),
        ({"fiducial": {"radius": 0}}, "fiducial.radius: 0 cm"),
        ({"fiducial": {"radius": 1, "axis": "r"}}, "fiducial.axis: 'r' is not one of x, y, z"),
    ],
)
def test_cuts_that_cannot_be_are_refused(cuts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Selection(**cuts)
