"""Figures survive whatever data are, and show what they are given."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread

from objectives._diagnostics import diagnostics
from objectives._roc import Roc, stored_roc
from objectives.binary import BinaryTask
from objectives.multiclass import MulticlassTask
from objectives.regression import RegressionOptions, RegressionTask
from study._report_figures import diagnostic_pictures, training_pictures
from study.figures._style import figure
from study.figures.confusion import draw_confusion
from study.figures.curves import draw_losses, draw_metric
from study.figures.efficiency import draw_efficiency
from study.figures.rejection import draw_rejection
from study.figures.response import draw_bias, draw_resolution
from study.figures.roc import draw_roc
from study.figures.significance import draw_significance
from study.figures.trial import trial_report
from study.figures.truth import draw_truth

NAMES = ("gamma", "electron", "muon")
THREE = MulticlassTask((0, 1, 2), NAMES)
VALUE = RegressionTask(RegressionOptions(), 0.0, 1.0)
ODD_NAMES = ("$e^-", "_hidden", "a class of a very long name indeed", "d\\frac{", "")


def epochs(count: int, metric: float | None = 0.5) -> list[dict[str, Any]]:
    return [
        {
            "epoch": epoch,
            "training_loss": 1 / epoch,
            "validation_loss": 0.5 + abs(epoch - 3) / 10,
            "metrics": {"accuracy": metric},
        }
        for epoch in range(1, count + 1)
    ]


def classes(count: int, *, energies: bool = True, task: Any = THREE, only: int | None = None) -> dict[str, Any]:
    random = np.random.default_rng(0)
    number = len(task.classes)
    labels = random.integers(0, number, count) if only is None else np.full(count, only)
    probabilities = random.dirichlet(np.ones(number), count)
    predictions = probabilities[:, 1:] if isinstance(task, BinaryTask) else probabilities
    return diagnostics(task, predictions, labels, random.uniform(100, 1000, count) if energies else None)


def values(count: int, scatter: float = 0.1, *, true: float | None = None) -> dict[str, Any]:
    random = np.random.default_rng(0)
    targets = random.uniform(100, 1000, count) if true is None else np.full(count, true)
    found = diagnostics(VALUE, (targets * (1 + scatter * random.normal(size=count)))[:, None], targets)
    return found | {"target": {"name": "energies", "unit": "MeV"}}


def task_of(names: Sequence[str]) -> MulticlassTask:
    return MulticlassTask(tuple(range(len(names))), tuple(names))


DATA: dict[str, Callable[[], dict[str, Any]]] = {
    "three classes": lambda: classes(600),
    "no energies": lambda: classes(600, energies=False),
    "two classes": lambda: classes(300, task=BinaryTask(0, 1, ("gamma", "electron"))),
    "one event": lambda: classes(1),
    "no event": lambda: classes(0),
    "one class only": lambda: classes(50, only=2),
    "equal predictions": lambda: diagnostics(THREE, np.full((30, 3), 1 / 3), np.arange(30) % 3, np.full(30, 5.0)),
    "perfect predictions": lambda: diagnostics(THREE, np.eye(3)[np.arange(30) % 3], np.arange(30) % 3, np.arange(30.0)),
    "predictions of NaN": lambda: diagnostics(THREE, np.full((30, 3), np.nan), np.arange(30) % 3),
    "odd names": lambda: classes(100, task=task_of(ODD_NAMES)),
    "ten classes": lambda: classes(500, task=task_of([f"class {index}" for index in range(10)])),
    "fifty classes": lambda: classes(500, task=task_of([str(index) for index in range(50)])),
    "values": lambda: values(600),
    "one value": lambda: values(1),
    "no value": lambda: values(0),
    "equal values": lambda: values(50, 0.0, true=3.0),
    "values of 0": lambda: values(50, true=0.0),
    "another task": lambda: {"kind": "other", "events": 4, "left_out": 0},
}
HISTORIES: dict[str, list[dict[str, Any]]] = {
    "fifteen epochs": epochs(15),
    "one epoch": epochs(1),
    "a metric of NaN": epochs(3, None),
    "no epoch": [],
    "losses of NaN": [{"epoch": 1, "training_loss": None, "validation_loss": float("nan"), "metrics": {}}],
}


def size(png: bytes) -> tuple[int, ...]:
    return tuple(imread(io.BytesIO(png)).shape[1::-1])


def drawn(draw: Callable[..., None], *arguments: Any, **options: Any) -> Axes:
    axes = Figure().subplots()
    draw(axes, *arguments, **options)
    return axes


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def named(axes: Axes) -> list[str]:
    return axes.get_legend_handles_labels()[1]


def roc_of(signal: str = "electron", background: str = "gamma") -> Roc:
    roc = stored_roc(classes(600)["roc"], signal, background)
    assert roc is not None
    return roc


@pytest.mark.parametrize("data", DATA)
def test_every_figure_of_odd_data_is_a_png_800_pixels_wide(data: str) -> None:
    pictures = list(diagnostic_pictures(DATA[data](), None))

    assert [size(picture.png)[0] for picture in pictures] == [800] * len(pictures)


@pytest.mark.parametrize("data", DATA)
def test_a_trial_report_of_odd_data_is_one_picture_800_pixels_wide(data: str) -> None:
    record = {"study": "s", "trial": 1, "state": "COMPLETE", "metric": "accuracy", "value": 0.5, "best_epoch": 3}

    png = trial_report(record | {"history": epochs(15), "diagnostics": DATA[data]()})

    assert size(png) == (800, 330)


@pytest.mark.parametrize("history", HISTORIES)
def test_a_trial_report_needs_neither_value_nor_diagnostics(history: str) -> None:
    record = {"study": "$x_", "trial": 0, "state": "FAIL", "metric": "_$a", "value": float("nan"), "best_epoch": None}

    png = trial_report(record | {"history": HISTORIES[history], "diagnostics": None})

    assert size(png) == (800, 330)


@pytest.mark.parametrize("history", HISTORIES)
def test_learning_curves_of_odd_histories_are_drawn(history: str) -> None:
    pictures = training_pictures(HISTORIES[history], "accuracy", 1)

    assert [size(picture.png)[0] for picture in pictures] == ([800] if HISTORIES[history] else [])


def test_losses_mark_the_best_epoch_and_where_overtraining_sets_in() -> None:
    axes = drawn(draw_losses, epochs(8), best_epoch=4)

    assert named(axes) == ["training", "validation", "best epoch, 4", "overtrained from 3"]
    assert axes.lines[1].get_ydata() == pytest.approx([0.5 + abs(epoch - 3) / 10 for epoch in range(1, 9)])


def test_a_metric_that_is_never_defined_is_said_to_be_so() -> None:
    axes = drawn(draw_metric, epochs(3, None), "accuracy")

    assert texts(axes) == ["undefined at every epoch"]


def test_the_confusion_matrix_says_per_cent_and_counts() -> None:
    axes = drawn(draw_confusion, {"classes": ["a", "b"], "confusion": [[30, 10], [0, 1500]]})

    assert texts(axes) == ["75.0%\n30", "25.0%\n10", "0.0%\n0", "100.0%\n1,500"]


def test_a_class_without_events_has_no_per_cent() -> None:
    axes = drawn(draw_confusion, {"classes": ["a", "b"], "confusion": [[0, 0], [1, 3]]}, small=True)

    assert texts(axes) == ["–", "–", "25.0%", "75.0%"]


def test_the_roc_curve_names_pair_and_area() -> None:
    roc = roc_of()

    axes = drawn(draw_roc, roc)

    assert named(axes)[0] == f"electron against gamma: AUC {roc.auc:.4f}"
    assert axes.lines[0].get_ydata() == pytest.approx(roc.signal_efficiency)
    assert "background efficiency" in axes.get_xlabel()
    assert "(gamma)" in axes.get_xlabel()


def test_background_rejection_has_a_logarithmic_axis_and_its_limit() -> None:
    roc = roc_of()

    axes = drawn(draw_rejection, roc)

    assert axes.get_yscale() == "log"
    assert f"limit: 1 of {roc.background_events} background events" in named(axes)


def test_the_largest_significance_gain_is_one_with_ten_background_events() -> None:
    roc = Roc("s", "b", np.array([0, 50, 80, 100]), np.array([0, 1, 25, 100]), 100, 100, 0.9)

    labels = named(drawn(draw_significance, roc))

    assert labels[-1] == "largest with ≥ 10 background events: 1.60 at 0.80"


def test_a_pair_without_events_says_which_class_is_absent() -> None:
    roc = stored_roc(classes(50, only=2)["roc"], "electron", "muon")

    for draw in (draw_roc, draw_rejection, draw_significance):
        assert texts(drawn(draw, roc)) == ["no event is of class electron"]


def test_axes_have_units_of_energy() -> None:
    found = values(300)

    truth = drawn(draw_truth, found, bar=False)

    assert (truth.get_xlabel(), truth.get_ylabel()) == ("true energies (MeV)", "predicted energies (MeV)")
    assert drawn(draw_efficiency, classes(300)).get_xlabel() == "true energy (MeV)"
    for draw in (draw_resolution, draw_bias):
        assert drawn(draw, found).get_xlabel() == "true energies (MeV)"
        assert "(%)" in drawn(draw, found).get_ylabel()


def test_no_text_is_smaller_than_nine_points_or_outside_the_figure() -> None:
    found, history = classes(600), epochs(15)
    draws: list[tuple[Callable[..., None], Sequence[Any], Mapping[str, Any]]] = [
        (draw_losses, (history,), {"best_epoch": 3}),
        (draw_confusion, (found,), {}),
        (draw_roc, (roc_of(),), {}),
        (draw_rejection, (roc_of(),), {}),
        (draw_significance, (roc_of(),), {}),
        (draw_efficiency, (found,), {}),
        (draw_truth, (values(600),), {}),
    ]

    for draw, arguments, options in draws:
        whole = figure()
        draw(whole.subplots(), *arguments, **options)
        whole.draw_without_rendering()
        box = whole.get_tightbbox()
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= 8
        assert box.y1 <= 4.2
        for axes in whole.axes:
            labels = [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()]
            legend = axes.get_legend()
            shown = [*labels, *axes.texts, *(legend.get_texts() if legend else [])]
            assert min(text.get_fontsize() for text in shown) >= 9
