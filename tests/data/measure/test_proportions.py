"""Shares have an interval, and attempts a chance that one of them is right."""

from itertools import combinations
from math import comb
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.measure.proportions import (
    accuracy_interval,
    mean_pass_at_k,
    pass_at_k,
    wilson_interval,
)
from tinylm.errors import ConfigError, DataError

COUNTS = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS, st.sampled_from([0.5, 0.9, 0.95]))
def test_the_ends_are_the_shares_at_z_standard_errors(counts, level):
    right, n = counts
    z = NormalDist().inv_cdf((1 + level) / 2)
    low, high = wilson_interval(right, n, level)
    assert 0 <= low <= right / n <= high <= 1
    for theta in (low, high):
        assert (right / n - theta) ** 2 == pytest.approx(z * z * theta * (1 - theta) / n, abs=1e-12)


def test_published_values():
    # Newcombe 1998, table I: 81 of 263 and 15 of 148, 95 %; the method without correction
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    low, high = wilson_interval(0, 20)
    assert low == 0 and high == pytest.approx(0.1611, abs=5e-5)  # and not empty
    assert wilson_interval(20, 20)[1] == 1


def test_the_interval_holds_the_true_share_about_as_often_as_it_should():
    # Exact coverage for n = 40 and p = 0.1; near the level, as Brown, Cai & DasGupta (2001) found.
    p, n = 0.1, 40
    inside = [k for k in range(n + 1) if wilson_interval(k, n)[0] <= p <= wilson_interval(k, n)[1]]
    coverage = sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in inside)
    assert 0.92 < coverage < 0.98


def test_accuracy_counts_what_is_right():
    accuracy, low, high = accuracy_interval([True, False, True, True])
    assert accuracy == 0.75 and (low, high) == wilson_interval(3, 4)
    assert accuracy_interval([1, 0], level=0.5)[1:] == wilson_interval(1, 2, level=0.5)


@pytest.mark.parametrize(
    "right, count, level, error",
    [(3, 2, 0.9, DataError), (-1, 2, 0.9, DataError), (0, 0, 0.9, DataError),
     (1, 2, 0, ConfigError), (1, 2, 1, ConfigError)],
)  # fmt: skip
def test_counts_and_levels_that_cannot_be_are_refused(right, count, level, error):
    with pytest.raises(error, match="wilson_interval"):
        wilson_interval(right, count, level)


@pytest.mark.parametrize(
    "n, c, k", [(5, 0, 2), (5, 2, 1), (5, 2, 3), (5, 2, 4), (5, 5, 5), (6, 1, 6)]
)
def test_pass_at_k_is_the_share_of_draws_with_a_right_one(n, c, k):
    draws = list(combinations(range(n), k))
    assert pass_at_k(n, c, k) == pytest.approx(
        sum(min(draw) < c for draw in draws) / len(draws), abs=1e-15
    )


@given(st.floats(0, 1), st.integers(1, 12), st.integers(1, 12))
def test_pass_at_k_is_unbiased(p, n, k):
    k = min(k, n)
    # The mean over the number of right samples, which is binomial: 1 - (1 - p)^k.
    mean = sum(comb(n, c) * p**c * (1 - p) ** (n - c) * pass_at_k(n, c, k) for c in range(n + 1))
    assert mean == pytest.approx(1 - (1 - p) ** k, abs=1e-12)


def test_the_mean_over_problems():
    assert mean_pass_at_k([(4, 1), (2, 0), (3, 3)], 1) == pytest.approx((1 / 4 + 0 + 1) / 3)
    assert mean_pass_at_k(iter([(4, 1)]), 2) == pass_at_k(4, 1, 2) == 0.5
    with pytest.raises(DataError, match="no problem"):
        mean_pass_at_k([], 1)


@pytest.mark.parametrize(
    "n, c, k, error",
    [(3, 4, 1, DataError), (3, -1, 1, DataError), (3, 1, 0, ConfigError), (3, 1, 4, ConfigError)],
)
def test_samples_that_do_not_fit_are_refused(n, c, k, error):
    with pytest.raises(error, match="pass_at_k"):
        pass_at_k(n, c, k)
