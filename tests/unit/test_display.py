import numpy as np
import pytest
from matplotlib.image import imread

from study import display
from study.simulation import events


@pytest.fixture(scope="module")
def ring():
    return next(events.simulate(3, seed=3))["event_data"]


def test_an_event_becomes_a_png_of_the_stated_width(ring, tmp_path):
    display.draw_event(ring[0], tmp_path / "event.png", "gamma")

    picture = imread(tmp_path / "event.png")
    assert picture.shape[1] == 1000
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 100


def test_events_become_a_grid_with_a_row_each(ring, tmp_path):
    heights = []
    for count in (1, 3):
        display.draw_events(list(ring[:count]), tmp_path / "grid.png", ["title"] * count)
        heights.append(imread(tmp_path / "grid.png").shape[0])

    assert heights[1] == pytest.approx(3 * heights[0], abs=3)


def test_an_event_without_a_hit_is_drawn_too(tmp_path):
    display.draw_event(np.zeros((16, 40, 38), np.float32), tmp_path / "dark.png")

    assert imread(tmp_path / "dark.png").shape[1] == 1000


def test_nothing_but_the_picture_is_left_in_the_folder(ring, tmp_path):
    display.draw_event(ring[0], tmp_path / "event.png")

    assert [path.name for path in tmp_path.iterdir()] == ["event.png"]


def test_a_ring_over_the_seam_is_turned_to_the_middle():
    charge = np.zeros((16, 40, 19))
    charge[8, [38, 39, 0, 1]] = 1.0

    assert display._first_column(charge) == 20


def test_an_image_of_another_shape_is_refused_with_the_shape_needed(tmp_path):
    with pytest.raises(ValueError, match=r"shape \(28, 28, 1\).*\(16, 40, 38\)"):
        display.draw_event(np.zeros((28, 28, 1)), tmp_path / "event.png")


def test_events_without_titles_are_refused(ring, tmp_path):
    with pytest.raises(ValueError, match="3 events and 1 titles"):
        display.draw_events(list(ring), tmp_path / "grid.png", ["one"])
