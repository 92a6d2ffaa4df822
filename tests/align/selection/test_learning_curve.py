"""Samples that it takes to reach an accuracy."""

import pytest

from tinylm.align.selection import samples_to_reach
from tinylm.errors import DataError

COUNTS, ACCURACIES = [10, 100, 1000], [0.2, 0.6, 0.8]


def test_a_level_between_two_points_is_interpolated_over_the_logarithm():
    assert samples_to_reach(COUNTS, ACCURACIES, 0.6) == pytest.approx(100)
    assert samples_to_reach(COUNTS, ACCURACIES, 0.7) == pytest.approx(100 * 10**0.5)
    assert samples_to_reach(COUNTS, ACCURACIES, 0.3) == pytest.approx(10 * 10**0.25)


def test_the_ends_of_the_curve():
    assert samples_to_reach(COUNTS, ACCURACIES, 0.1) == 10.0
    assert samples_to_reach(COUNTS, ACCURACIES, 0.2) == 10.0
    assert samples_to_reach(COUNTS, ACCURACIES, 0.9) == float("inf")


def test_the_first_time_counts():
    assert samples_to_reach([1, 10, 100, 1000], [0.0, 0.5, 0.3, 0.9], 0.5) == pytest.approx(10)


@pytest.mark.parametrize(
    "counts, accuracies",
    [([], []), ([1, 2], [0.5]), ([0, 2], [0.1, 0.2]), ([2, 2], [0.1, 0.2]), ([3, 2], [0.1, 0.2])],
)
def test_a_curve_has_rising_counts(counts, accuracies):
    with pytest.raises(DataError, match="samples_to_reach"):
        samples_to_reach(counts, accuracies, 0.5)
