"""Metrics equal scikit-learn's wherever those are defined, and are NaN elsewhere."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from objectives import _metrics as metrics


@st.composite
def classified(draw, least, most):
    """Labels in which every class occurs, and probabilities with many ties."""
    k = draw(st.integers(least, most))
    labels = np.array([*range(k), *draw(st.lists(st.integers(0, k - 1), max_size=30))], dtype=np.int64)
    weights = draw(
        st.lists(st.lists(st.integers(0, 4), min_size=k, max_size=k), min_size=len(labels), max_size=len(labels))
    )
    weights = np.array(weights, dtype=np.float64) + 1e-3
    return labels, weights / weights.sum(axis=1, keepdims=True)


@given(classified(2, 5))
def test_accuracies_and_log_loss_equal_those_of_scikit_learn(case):
    labels, probabilities = case
    predicted = probabilities.argmax(axis=1)

    assert metrics.accuracy(labels, predicted) == pytest.approx(reference.accuracy_score(labels, predicted))
    assert metrics.balanced_accuracy(labels, predicted) == pytest.approx(
        reference.balanced_accuracy_score(labels, predicted)
    )
    assert metrics.log_loss(labels, probabilities) == pytest.approx(reference.log_loss(labels, probabilities))


@given(classified(3, 5))
def test_multiclass_roc_auc_equals_that_of_scikit_learn(case):
    labels, probabilities = case

    expected = reference.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert metrics.roc_auc_one_vs_rest(labels, probabilities) == pytest.approx(expected)


@given(classified(2, 2))
def test_binary_roc_auc_and_log_loss_equal_those_of_scikit_learn(case):
    labels, probabilities = case
    positive = probabilities[:, 1]

    assert metrics.roc_auc(labels == 1, positive) == pytest.approx(reference.roc_auc_score(labels, positive))
    assert metrics.log_loss(labels, positive) == pytest.approx(reference.log_loss(labels, positive))


def test_log_loss_stays_finite_when_the_true_class_has_probability_zero():
    assert metrics.log_loss(np.array([0]), np.array([[0.0, 1.0]])) == pytest.approx(36.04, abs=0.01)


def test_balanced_accuracy_is_the_mean_over_the_classes_that_occur():
    labels, predicted = np.array([0, 0, 0, 2]), np.array([0, 0, 1, 2])

    assert metrics.balanced_accuracy(labels, predicted) == pytest.approx((2 / 3 + 1) / 2)


@pytest.mark.parametrize("labels", [[0, 0], [1, 1], []])
def test_roc_auc_without_both_classes_is_nan(labels):
    labels = np.array(labels, dtype=np.int64)

    assert math.isnan(metrics.roc_auc(labels == 1, np.linspace(0, 1, len(labels))))


def test_multiclass_roc_auc_with_an_absent_class_is_nan():
    assert math.isnan(metrics.roc_auc_one_vs_rest(np.array([0, 1, 1]), np.full((3, 3), 1 / 3)))


def test_roc_auc_of_nan_scores_is_nan():
    assert math.isnan(metrics.roc_auc(np.array([True, False]), np.array([np.nan, 0.5])))


@pytest.mark.parametrize("metric", [metrics.accuracy, metrics.balanced_accuracy, metrics.log_loss])
def test_classification_metrics_of_no_event_are_nan(metric):
    assert math.isnan(metric(np.array([], dtype=np.int64), np.array([])))


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(0.1, 1e3)), min_size=1, max_size=30))
def test_errors_equal_those_of_scikit_learn(pairs):
    predicted, true = np.array(pairs).T

    assert metrics.rmse(predicted, true) == pytest.approx(reference.root_mean_squared_error(true, predicted))
    assert metrics.mae(predicted, true) == pytest.approx(reference.mean_absolute_error(true, predicted))


def test_resolutions_of_gaussian_relative_errors_are_their_width_whatever_the_energy():
    random = np.random.default_rng(0)
    true = random.uniform(100, 1000, 100_000)
    predicted = true * (1.05 + 0.1 * random.standard_normal(len(true)))

    assert metrics.resolution(predicted, true) == pytest.approx(0.1 / 1.05, rel=0.01)
    assert metrics.resolution_68(predicted, true) == pytest.approx(0.1 / 1.05, rel=0.01)
    assert metrics.bias(predicted, true) == pytest.approx(0.05, rel=0.02)


def test_an_outlier_moves_the_standard_deviation_but_not_the_68_percent_half_width():
    true = np.full(1001, 100.0)
    predicted = np.append(np.linspace(90, 110, 1000), 1e5)

    assert metrics.resolution(predicted, true) > 10
    assert metrics.resolution_68(predicted, true) == pytest.approx(0.0683, abs=1e-3)


def test_bias_does_not_depend_on_its_sign():
    true = np.array([100.0, 200.0])

    assert metrics.bias(0.9 * true, true) == pytest.approx(metrics.bias(1.1 * true, true))


@pytest.mark.parametrize("metric", [metrics.resolution, metrics.resolution_68])
def test_a_resolution_does_not_gain_from_predicting_too_little(metric):
    rng = np.random.default_rng(4)
    true = rng.uniform(100, 1000, 10_000)
    predicted = true * rng.normal(1.0, 0.1, 10_000)

    assert metric(predicted * 0.01, true) == pytest.approx(metric(predicted, true))


@pytest.mark.parametrize("metric", [metrics.resolution, metrics.resolution_68])
@pytest.mark.parametrize("constant", [0.0, 1e-30, 500.0])
def test_a_constant_prediction_never_has_a_good_resolution(metric, constant):
    true = np.linspace(100.0, 1000.0, 1000)

    value = metric(np.full(1000, constant), true)

    assert np.isnan(value) or value > 0.4


@pytest.mark.parametrize("metric", [metrics.resolution, metrics.resolution_68, metrics.bias])
def test_relative_metrics_are_nan_when_a_true_value_is_zero(metric):
    assert math.isnan(metric(np.array([1.0, 2.0]), np.array([0.0, 2.0])))


@pytest.mark.parametrize("metric", [metrics.rmse, metrics.mae, metrics.resolution, metrics.resolution_68, metrics.bias])
def test_regression_metrics_of_no_event_are_nan(metric):
    assert math.isnan(metric(np.array([]), np.array([])))
