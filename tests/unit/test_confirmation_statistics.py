"""Numbers about retrainings, against those of textbooks and of Student's t test."""

import pytest
from scipy import stats

from study.confirmation.statistics import average, estimate, optimism, probability_best

VALUES = [0.90, 0.92, 0.94, 0.91, 0.93]


def test_an_interval_is_students() -> None:
    found = estimate(VALUES)

    assert found.mean == pytest.approx(0.92)
    assert found.deviation == pytest.approx(0.015811388)
    assert found.error == pytest.approx(0.007071068)
    assert found.interval == pytest.approx((0.92 - 2.776445 * 0.007071068, 0.92 + 2.776445 * 0.007071068))


def test_one_value_has_a_mean_and_no_spread_and_none_has_nothing() -> None:
    one, none = estimate([0.5]), estimate([])

    assert (one.count, one.mean, one.deviation, one.error, one.interval) == (1, 0.5, None, None, None)
    assert (none.count, none.mean, none.interval) == (0, None, None)


def test_of_two_configurations_the_probability_is_that_of_the_t_test_with_pooled_variance() -> None:
    other = [0.89, 0.93, 0.91, 0.90]

    first, second = probability_best([VALUES, other], "maximize")

    expected = 1 - stats.ttest_ind(VALUES, other, alternative="greater").pvalue
    assert first == pytest.approx(expected, abs=0.005)
    assert first + second == pytest.approx(1)  # type: ignore[operator]


def test_equal_configurations_have_equal_chances_and_the_direction_turns_them() -> None:
    better = [value + 0.05 for value in VALUES]

    assert probability_best([VALUES, VALUES, VALUES], "maximize") == pytest.approx([1 / 3] * 3, abs=0.005)
    assert probability_best([VALUES, better], "maximize")[1] > 0.98  # type: ignore[operator]
    assert probability_best([VALUES, better], "minimize")[0] > 0.98  # type: ignore[operator]


def test_probabilities_are_the_same_each_time() -> None:
    assert probability_best([VALUES, VALUES[::-1]], "minimize") == probability_best([VALUES, VALUES[::-1]], "minimize")


def test_where_no_seed_made_a_difference_the_best_shares_all_of_it_with_its_equals() -> None:
    assert probability_best([[0.5, 0.5], [0.5, 0.5], [0.4, 0.4]], "maximize") == [0.5, 0.5, 0.0]


def test_a_probability_that_cannot_be_told_is_none() -> None:
    assert probability_best([[0.5], [0.6]], "maximize") == [None, None]
    assert probability_best([[], [0.6]], "maximize") == [None, 1.0]
    assert probability_best([], "maximize") == []
    found = probability_best([[], VALUES, [0.99]], "maximize")
    assert found[0] is None
    assert found[1] + found[2] == pytest.approx(1)  # type: ignore[operator]


def test_optimism_is_positive_where_the_search_promised_too_much() -> None:
    retrained = estimate(VALUES)

    assert optimism(0.95, retrained, "maximize") == pytest.approx(0.03)
    assert optimism(0.90, retrained, "minimize") == pytest.approx(0.02)
    assert optimism(0.95, estimate([]), "maximize") is None


def test_the_error_of_an_average_shrinks_with_its_parts() -> None:
    assert average([0.1, 0.3], [0.03, 0.04]) == pytest.approx((0.2, 0.025))
