"""Stale gradients: the bound of stability, and what workers that do not wait are late by."""

import numpy as np
import pytest

from tinylm.errors import ConfigError
from tinylm.parallel.asynchronous import (
    asynchronous_descent,
    largest_stable_rate,
    stale_descent,
)


def quadratic(theta):
    return 3.0 * theta


def test_without_delay_it_is_gradient_descent():
    found = stale_descent(quadratic, [2.0, -1.0], 0.1, 0, 5)
    np.testing.assert_allclose(found, np.outer(0.7 ** np.arange(6), [2.0, -1.0]))


def test_by_hand_with_a_delay_of_two():
    # the first three gradients are of the start, 8; then of 6 and of 4
    found = stale_descent(lambda x: x, [8.0], 0.25, 2, 5)[:, 0]
    assert found.tolist() == [8, 6, 4, 2, 0.5, -0.5]


@pytest.mark.parametrize("delay", [0, 1, 2, 5, 10])
def test_it_converges_below_the_bound_and_not_above(delay):
    bound = largest_stable_rate(3.0, delay)
    for factor, converges in ((0.97, True), (1.03, False)):
        found = np.abs(stale_descent(quadratic, [1.0], factor * bound, delay, 4000)[:, 0])
        assert (found[-50:].max() < 1e-3) == converges
        assert (found[-50:].max() > 1e3) != converges


def test_the_bounds_that_are_known():
    assert largest_stable_rate(1.0, 0) == pytest.approx(2)
    assert largest_stable_rate(1.0, 1) == pytest.approx(1)
    assert largest_stable_rate(2.0, 1000) == pytest.approx(np.pi / 4002, rel=1e-3)


def test_equal_workers_take_turns_and_are_late_by_the_others():
    found, staleness, seconds = asynchronous_descent(
        lambda theta, _: quadratic(theta), [1.0], 0.05, [2.0] * 4, 12
    )
    assert staleness.tolist() == [0, 1, 2] + [3] * 9
    assert seconds == 6.0
    late = stale_descent(quadratic, [1.0], 0.05, 3, 12)
    np.testing.assert_allclose(found, late)


def test_one_worker_is_never_late():
    found, staleness, seconds = asynchronous_descent(
        lambda theta, _: quadratic(theta), [1.0], 0.1, [0.5], 4
    )
    assert not staleness.any() and seconds == 2.0
    np.testing.assert_allclose(found[:, 0], 0.7 ** np.arange(5))


def test_a_straggler_is_late_by_all_that_the_others_did():
    _, staleness, seconds = asynchronous_descent(lambda theta, _: theta, [1.0], 0.1, [1.0, 5.5], 6)
    # five updates of the first, then that of the second, begun before any
    assert staleness.tolist() == [0, 0, 0, 0, 0, 5] and seconds == 5.5
    slower = lambda count: 1.0 + count  # noqa: E731
    _, staleness, seconds = asynchronous_descent(lambda t, _: t, [1.0], 0.1, [slower], 3)
    assert seconds == 1 + 2 + 3


def test_the_number_of_the_update_reaches_the_gradient():
    found, _, _ = asynchronous_descent(lambda _, k: np.array([float(k)]), [0.0], 1.0, [1.0], 3)
    assert found[:, 0].tolist() == [0, 0, -1, -3]


def test_a_negative_delay_is_refused():
    with pytest.raises(ConfigError, match="delay -1, must be 0 or more"):
        stale_descent(quadratic, [1.0], 0.1, -1, 2)
