"""What diagnostics say of predictions, against scikit-learn and against numbers worked out by hand."""

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from objectives._binning import quantile_edges, wilson
from objectives._diagnostics import diagnostics
from objectives._overtraining import overtraining
from objectives._roc import Roc, stored_roc
from objectives.binary import BinaryTask
from objectives.multiclass import MulticlassTask
from objectives.regression import RegressionOptions, RegressionTask
from storage.errors import DataError

NAMES = ("gamma", "electron", "muon")
THREE = MulticlassTask((0, 1, 2), NAMES)
VALUE = RegressionTask(RegressionOptions(), 0.0, 1.0)
Floats = NDArray[np.float64]


def softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sample(count: int, classes: int = 3, seed: int = 0) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Probabilities, labels and energies of events that are told apart well, but not perfectly."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    logits = random.normal(size=(count, classes))
    logits[np.arange(count), labels] += 1.5
    return softmax(logits), labels, random.uniform(100, 1000, count)


def roc_of(found: dict[str, Any], signal: str, background: str) -> Roc:
    roc = stored_roc(found["roc"], signal, background)
    assert roc is not None
    return roc


def test_the_confusion_matrix_is_that_of_scikit_learn() -> None:
    probabilities, labels, _ = sample(500)

    found = diagnostics(THREE, probabilities, labels)

    assert found["confusion"] == confusion_matrix(labels, probabilities.argmax(axis=1)).tolist()
    assert found["classes"] == list(NAMES)


def test_a_binary_event_is_positive_above_one_half_and_classes_may_be_named_in_either_order() -> None:
    task = BinaryTask(2, 1, ("muon", "electron"))

    found = diagnostics(task, np.array([[0.9], [0.5], [0.2], [0.7]]), np.array([1, 1, 2, 2]))

    assert found["confusion"] == [[1, 1], [1, 1]]
    assert found["default_pair"] == ["electron", "muon"]


@pytest.mark.parametrize(("signal", "background"), [("electron", "gamma"), ("gamma", "electron"), ("muon", "gamma")])
def test_a_pair_has_the_area_and_points_of_scikit_learn_for_the_ratio_of_its_probabilities(
    signal: str, background: str
) -> None:
    probabilities, labels, _ = sample(4000)
    s, b = NAMES.index(signal), NAMES.index(background)
    chosen = (labels == s) | (labels == b)
    ratio = probabilities[chosen, s] / (probabilities[chosen, s] + probabilities[chosen, b])

    roc = roc_of(diagnostics(THREE, probabilities, labels), signal, background)

    false, true, _ = roc_curve(labels[chosen] == s, ratio, drop_intermediate=False)
    points = set(zip(np.round(false, 9), np.round(true, 9), strict=True))
    assert roc.auc == pytest.approx(roc_auc_score(labels[chosen] == s, ratio), abs=1e-12)
    assert (roc.signal, roc.background, roc.signal_events) == (signal, background, np.count_nonzero(labels == s))
    kept = zip(np.round(roc.background_efficiency, 9), np.round(roc.signal_efficiency, 9), strict=True)
    assert set(kept) <= points
    assert 100 < len(roc.signal_passing) <= 200


def test_a_thinned_curve_keeps_both_ends_and_nearly_the_whole_area() -> None:
    probabilities, labels, _ = sample(20_000)

    roc = roc_of(diagnostics(THREE, probabilities, labels), "electron", "gamma")

    area = np.trapezoid(roc.signal_efficiency, roc.background_efficiency)
    assert area == pytest.approx(roc.auc, abs=2e-4)
    assert (roc.signal_passing[0], roc.background_passing[0]) == (0, 0)
    assert (roc.signal_efficiency[-1], roc.background_efficiency[-1]) == (1, 1)
    assert set(range(1, 6)) <= set(roc.background_passing.tolist())


def test_equal_scores_pass_a_cut_together() -> None:
    task = BinaryTask(0, 1, ("b", "s"))

    roc = roc_of(diagnostics(task, np.array([[0.8], [0.8], [0.3], [0.3]]), np.array([1, 0, 1, 0])), "s", "b")

    assert list(zip(roc.signal_passing, roc.background_passing, strict=True)) == [(0, 0), (1, 1), (2, 2)]
    assert roc.auc == 0.5


def test_rejection_and_significance_leave_out_cuts_without_background_and_have_binomial_errors() -> None:
    roc = Roc("s", "b", np.array([0, 30, 60, 100]), np.array([0, 0, 4, 50]), 100, 50, 0.9)

    efficiency, rejection, low, high = roc.rejection()
    _, gain, _, _ = roc.significance()

    bounds = wilson(np.array([4, 50]), np.array([50, 50]))
    assert efficiency.tolist() == [0.6, 1.0]
    assert rejection == pytest.approx([12.5, 1.0])
    assert low == pytest.approx(1 / bounds[1])
    assert high == pytest.approx(1 / bounds[0])
    assert gain == pytest.approx([0.6 / np.sqrt(4 / 50), 1.0])


def test_wilson_intervals_are_the_roots_of_the_score_equation() -> None:
    passed, events = np.array([0, 3, 10]), np.array([10, 10, 10])

    low, high = wilson(passed, events)

    assert (low[0], high[2]) == pytest.approx((0, 1))
    for end, fraction in ((low[1], 0.3), (high[1], 0.3), (high[0], 0.0), (low[2], 1.0)):
        assert abs(fraction - end) == pytest.approx(np.sqrt(end * (1 - end) / 10))


def test_efficiency_counts_what_is_right_in_each_bin_of_energy() -> None:
    count = 600
    labels, energies = np.arange(count) % 3, np.arange(count, dtype=float)
    right = (energies < 300) | (labels == 2)
    probabilities = np.eye(3)[np.where(right, labels, (labels + 1) % 3)]

    found = diagnostics(THREE, probabilities, labels, energies[:, None])["efficiency"]

    bins = len(found["centres"])
    assert bins == 6
    assert np.sum(found["events"]) == count
    assert found["edges"][0] == 0
    assert found["edges"][-1] == 599
    assert found["efficiency"][2] == [1.0] * 6
    assert found["efficiency"][0][0] == 1.0
    assert found["efficiency"][0][-1] == 0.0
    events = np.array(found["events"][2])
    assert found["low"][2] == pytest.approx(wilson(events, events)[0].tolist(), rel=1e-5)


def test_probability_histograms_count_every_event_of_a_true_class_once() -> None:
    probabilities, labels, _ = sample(300)

    found = np.array(diagnostics(THREE, probabilities, labels)["probabilities"])

    expected, _ = np.histogram(probabilities[labels == 2, 0], np.linspace(0, 1, 26))
    assert found.shape == (3, 3, 25)
    assert found[0, 2].tolist() == expected.tolist()
    assert found.sum(axis=2).tolist() == [np.bincount(labels).tolist()] * 3


def test_resolution_and_bias_of_each_bin_are_those_of_its_events() -> None:
    random = np.random.default_rng(1)
    true = random.uniform(100, 1000, 2000)
    predicted = true * (1.05 + 0.1 * random.normal(size=2000))

    found = diagnostics(VALUE, predicted[:, None], true.astype(np.float32)[:, None])["response"]

    first = true < found["edges"][1]
    ratio = predicted[first] / true[first]
    low, middle, high = np.percentile(ratio, [15.865, 50, 84.135])
    assert sum(found["events"]) == 2000
    assert found["bias"][0] == pytest.approx(middle - 1, abs=1e-5)
    assert found["resolution"][0] == pytest.approx((high - low) / 2 / middle, abs=1e-5)


def test_the_errors_of_resolution_and_bias_are_how_much_they_scatter() -> None:
    random = np.random.default_rng(2)
    found = []
    for _ in range(300):
        true = random.uniform(1, 2, 50)
        found.append(diagnostics(VALUE, (true * (1 + 0.1 * random.normal(size=50)))[:, None], true)["response"])

    for name in ("bias", "resolution"):
        values = np.array([item[name][0] for item in found])
        errors = np.array([item[f"{name}_error"][0] for item in found])
        assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15)


def test_the_plane_and_the_residuals_lose_no_event() -> None:
    random = np.random.default_rng(3)
    true = random.uniform(-5, 5, 1000)
    predicted = true + random.standard_cauchy(1000)

    found = diagnostics(VALUE, predicted[:, None], true)

    plane, residuals = found["plane"], found["residuals"]
    assert np.sum(plane["counts"]) + plane["outside"] == 1000
    assert sum(residuals["counts"]) + residuals["below"] + residuals["above"] == 1000
    assert residuals["median"] == pytest.approx(np.median((predicted - true) / np.abs(true)), rel=1e-5)
    inside, _, _ = np.histogram2d(true, predicted, bins=[plane["edges"]] * 2)
    assert np.array(plane["counts"]).tolist() == inside.tolist()


def test_energies_beside_another_target_give_bins_of_energy_and_those_that_are_the_target_none() -> None:
    true, energies = np.linspace(1, 2, 200), np.linspace(1000, 100, 200)

    other = diagnostics(VALUE, true[:, None], true, energies)
    same = diagnostics(VALUE, true[:, None], true, true)

    assert other["response_by_energy"]["edges"][0] == 100
    assert same["response_by_energy"] is None


def test_bins_hold_about_equally_many_events_and_none_is_empty() -> None:
    random = np.random.default_rng(4)

    counts, _ = np.histogram(values := random.exponential(size=1000), quantile_edges(values))
    tied, _ = np.histogram(values := np.repeat([1.0, 2.0, 7.0], [500, 40, 60]), quantile_edges(values))

    assert len(counts) == 10
    assert counts.min() > 90
    assert tied.min() > 0


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("energies", [None, np.nan, 300.0])
def test_few_events_and_energies_that_are_unknown_are_no_failure(count: int, energies: float | None) -> None:
    known = None if energies is None else np.full(count, energies)
    labels = np.zeros(count, dtype=int)

    classes = diagnostics(THREE, np.full((count, 3), 1 / 3), labels, known)
    values = diagnostics(VALUE, np.full((count, 1), 2.0), labels.astype(float), known)

    assert roc_of(classes, "electron", "gamma").auc is None
    assert values["residuals"] is None
    for found in (classes, values):
        json.dumps(found, allow_nan=False)


def test_predictions_that_are_not_finite_are_left_out_and_counted() -> None:
    probabilities, labels, energies = sample(100)
    probabilities[7] = np.nan

    found = diagnostics(THREE, probabilities, labels, energies)

    kept = np.arange(100) != 7
    assert (found["events"], found["left_out"]) == (100, 1)
    assert found["confusion"] == confusion_matrix(labels[kept], probabilities[kept].argmax(axis=1)).tolist()


def test_predictions_of_another_kind_of_task_have_no_diagnostics() -> None:
    found = diagnostics(THREE, np.ones((4, 7)), np.zeros(4, int))

    assert found == {"kind": "other", "events": 4, "left_out": 0}


def test_targets_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="3 predictions but 2 targets"):
        diagnostics(THREE, np.ones((3, 3)), np.zeros(2, int))
    with pytest.raises(DataError, match="labels are 5"):
        diagnostics(THREE, np.ones((1, 3)), np.array([5]))


@pytest.mark.parametrize("classes", [2, 3, 10, 300])
def test_the_size_is_bounded_and_every_number_finite(classes: int) -> None:
    probabilities, labels, energies = sample(100_000, classes)
    task = MulticlassTask(tuple(range(classes)), tuple(f"class {index}" for index in range(classes)))

    text = json.dumps(diagnostics(task, probabilities, labels, energies), allow_nan=False)

    assert len(text) < 60_000


def epochs(training: list[float], validation: list[float | None]) -> list[dict[str, Any]]:
    pairs = zip(training, validation, strict=True)
    return [{"epoch": i + 1, "training_loss": t, "validation_loss": v} for i, (t, v) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("training", "validation", "onset"),
    [
        ([1, 0.8, 0.6, 0.4, 0.2], [1, 0.7, 0.8, 0.9, 1], 2),
        ([1, 0.8, 0.6, 0.4, 0.2], [1, 0.9, 0.8, 0.7, 0.6], None),
        ([1, 0.8, 0.6, 0.4, 0.2], [1, 0.7, 0.705, 0.71, 0.705], None),
        ([1, 0.8, 0.9, 1.0, 1.1], [1, 0.7, 0.8, 0.9, 1], None),
        ([1, 0.8, 0.6], [1, 0.7, 0.9], None),
        ([1, 0.8, 0.6, 0.4, 0.2], [1, None, 0.7, 0.9, 1], 3),
        ([1], [1], None),
        ([], [], None),
    ],
    ids=["rises", "falls", "noise", "diverges", "one later epoch", "undefined", "one epoch", "none"],
)
def test_overtraining_is_a_rise_of_the_validation_loss_while_the_training_loss_falls(
    training: list[float], validation: list[float | None], onset: int | None
) -> None:
    assert overtraining(epochs(training, validation)) == onset
