"""Confidence is calibrated if it is the share of correct answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.measure.calibration import (
    adaptive_reliability,
    calibration_error,
    expected_calibration_error,
    reliability,
)
from tinylm.errors import ConfigError, DataError

ANSWERS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


def test_an_example_by_hand():
    confidence, correct = [0.1, 0.2, 0.9, 0.8, 0.7], [False, True, True, True, False]
    # Two groups: (0.15, 1/2) of 2 and (0.8, 2/3) of 3.
    groups = reliability(confidence, correct, bins=2)
    assert groups == [(2, pytest.approx(0.15), 0.5), (3, pytest.approx(0.8), pytest.approx(2 / 3))]
    by_hand = (2 * 0.35 + 3 * (0.8 - 2 / 3)) / 5
    assert calibration_error(groups) == pytest.approx(by_hand, abs=1e-15)
    assert expected_calibration_error(confidence, correct, bins=2) == pytest.approx(
        by_hand, abs=1e-15
    )


def test_a_confidence_upon_an_edge_belongs_below():
    counts = [count for count, _, _ in reliability([0, 0.25, 0.5, 0.75, 1.0], [True] * 5, bins=4)]
    assert counts == [2, 1, 1, 1]
    # 3/10 as written and 3/10 as the edge are the same number; empty groups are left out.
    assert reliability([0.3], [True], bins=10) == [(1, 0.3, 1.0)]
    assert len(reliability([0.3, 0.30001], [True] * 2, bins=10)) == 2


def test_limits():
    assert expected_calibration_error([1.0, 1.0, 0.0], [True, True, False]) == 0
    assert expected_calibration_error([1.0, 0.0], [False, True]) == 1
    # One group: only the means are compared.
    assert expected_calibration_error([0.2, 0.8], [True, False], bins=1) == 0


def test_fifteen_groups_are_the_default():
    sure = (np.arange(15) + 0.5) / 15
    for groups in (reliability(sure, [True] * 15), adaptive_reliability(sure, [True] * 15)):
        assert [count for count, _, _ in groups] == [1] * 15
    # 0.5/15 and 0.99/15 share a group of 15; of 16 they would not
    assert len(reliability([0.5 / 15, 0.99 / 15, 1.01 / 15], [True] * 3)) == 2
    assert len(adaptive_reliability(np.linspace(0, 1, 40), [True] * 40)) == 15
    # Both confidences are in the first of 15 groups, and in two of 30.
    sure, correct = [0.2 / 15, 0.98 / 15], [True, False]
    assert expected_calibration_error(sure, correct) == pytest.approx(0.5 - 0.59 / 15)
    assert expected_calibration_error(sure, correct, bins=30) == pytest.approx(0.5 + 0.39 / 15)


@given(ANSWERS, st.integers(1, 20))
def test_groups_hold_every_answer_once(answers, bins):
    confidence, correct = zip(*answers)
    for groups in (
        reliability(confidence, correct, bins),
        adaptive_reliability(confidence, correct, bins),
    ):
        n = sum(count for count, _, _ in groups)
        assert n == len(answers) and len(groups) <= bins
        assert sum(c * sure for c, sure, _ in groups) == pytest.approx(sum(confidence), abs=1e-9)
        assert sum(c * right for c, _, right in groups) == pytest.approx(sum(correct), abs=1e-9)
        # The gap of the means is never more than the mean gap.
        gap = abs(np.mean(confidence) - np.mean(correct))
        assert gap - 1e-12 <= calibration_error(groups) <= 1


def test_groups_of_equal_size():
    groups = adaptive_reliability([0.9, 0.1, 0.2, 0.3, 0.8], [1, 0, 0, 1, 1], bins=2)
    assert groups == [(3, pytest.approx(0.2), pytest.approx(1 / 3)), (2, pytest.approx(0.85), 1.0)]
    assert len(adaptive_reliability([0.5] * 3, [True] * 3, bins=8)) == 3


@pytest.mark.parametrize(
    "confidence, correct, bins, error",
    [
        ([0.5], [True, False], 5, DataError),
        ([], [], 5, DataError),
        ([[0.5]], [[True]], 5, DataError),
        ([1.1], [True], 5, DataError),
        ([-0.1], [True], 5, DataError),
        ([float("nan")], [True], 5, DataError),
        ([0.5], [True], 0, ConfigError),
    ],
)
def test_what_is_no_confidence_is_refused(confidence, correct, bins, error):
    for groups in (reliability, adaptive_reliability):
        with pytest.raises(error, match="calibration"):
            groups(confidence, correct, bins)
