"""PPO's clipping, the printed form, dual clipping: worked tables and where gradients vanish."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.align.policy.clipping import (
    book_clipped_surrogate,
    clip_fraction,
    clipped_loss,
    clipped_surrogate,
    dual_clipped_surrogate,
)
from tinylm.align.policy.surrogates import importance_loss, policy_gradient_loss
from tinylm.autograd import Tensor, grad
from tinylm.errors import ConfigError

RHO = np.array([0.5, 0.8, 1.0, 1.2, 1.5])


def value_and_slope(surrogate, rho, A, **bounds):
    x = Tensor(np.asarray(rho, np.float64), requires_grad=True)
    y = surrogate(x, np.full(len(rho), A), **bounds)
    return y.data, grad(y.sum(), [x])[0].data


@pytest.mark.parametrize(
    "surrogate, A, wanted",
    [
        (clipped_surrogate, 1.0, [0.5, 0.8, 1.0, 1.2, 1.2]),
        (book_clipped_surrogate, 1.0, [0.5, 0.8, 1.0, 1.2, 1.2]),
        (clipped_surrogate, -1.0, [-0.8, -0.8, -1.0, -1.2, -1.5]),
        (book_clipped_surrogate, -1.0, [-0.5, -0.8, -1.0, -1.2, -1.2]),
    ],
)
def test_the_worked_table(surrogate, A, wanted):
    np.testing.assert_allclose(value_and_slope(surrogate, RHO, A)[0], wanted, rtol=1e-14)


@pytest.mark.parametrize(
    "surrogate, A, moves",
    [
        # ratios                   .5, .9, 1.1, 1.5
        (clipped_surrogate, 2.0, [True, True, True, False]),
        (clipped_surrogate, -2.0, [False, True, True, True]),
        # as printed: a bad action is pushed below .8 for ever, and one above 1.2 is not corrected
        (book_clipped_surrogate, 2.0, [True, True, True, False]),
        (book_clipped_surrogate, -2.0, [True, True, True, False]),
    ],
)
def test_where_the_gradient_vanishes(surrogate, A, moves):
    found = value_and_slope(surrogate, [0.5, 0.9, 1.1, 1.5], A)[1]
    np.testing.assert_array_equal(found, A * np.array(moves))


@given(st.floats(0.01, 5), st.floats(-3, 3), st.floats(0.05, 0.9), st.floats(0.05, 2))
def test_it_is_a_lower_bound_that_wide_bounds_turn_into_the_surrogate(rho, A, low, high):
    (found,), _ = value_and_slope(clipped_surrogate, [rho], A, low=low, high=high)
    assert found <= rho * A + 1e-12
    (wide,), _ = value_and_slope(clipped_surrogate, [rho], A, low=1e9, high=1e9)
    assert wide == rho * A
    # TRL's form of the loss
    trl = max(-A * rho, -A * np.clip(rho, 1 - low, 1 + high))
    assert -found == pytest.approx(trl, abs=1e-12)


def test_the_upper_bound_may_be_another():
    found, slope = value_and_slope(clipped_surrogate, [1.25, 1.3, 0.75], 1.0, low=0.2, high=0.28)
    np.testing.assert_allclose(found, [1.25, 1.28, 0.75], rtol=1e-14)
    np.testing.assert_array_equal(slope, [1, 0, 1])
    found, _ = value_and_slope(clipped_surrogate, [0.75, 0.85], -1.0, low=0.2, high=0.28)
    np.testing.assert_allclose(found, [-0.8, -0.85], rtol=1e-14)
    # without one it is the lower bound's
    found, _ = value_and_slope(clipped_surrogate, [1.25], 1.0, low=0.1)
    np.testing.assert_allclose(found, [1.1], rtol=1e-14)


def test_dual_clipping_bounds_what_a_bad_action_costs():
    found, slope = value_and_slope(dual_clipped_surrogate, [0.5, 1.1, 2.9, 4.0], -1.0)
    np.testing.assert_allclose(found, [-0.8, -1.1, -2.9, -3.0], rtol=1e-14)
    np.testing.assert_array_equal(slope, [0, -1, -1, 0])
    # good actions are clipped as before
    good = value_and_slope(dual_clipped_surrogate, RHO, 1.0)
    np.testing.assert_array_equal(good[0], value_and_slope(clipped_surrogate, RHO, 1.0)[0])
    small = value_and_slope(dual_clipped_surrogate, RHO, 0.5)
    np.testing.assert_array_equal(small[0], value_and_slope(clipped_surrogate, RHO, 0.5)[0])
    found, _ = value_and_slope(dual_clipped_surrogate, [4.0], -1.0, bound=5.0)
    np.testing.assert_allclose(found, [-4], rtol=1e-14)


LOGP, OLD = np.log([[0.3, 0.2, 0.9]]), np.log([[0.2, 0.25, 0.1]])  # ratios 1.5, .8, 9
COUNTED, A = np.array([[True, True, False]]), np.array([[1.0, 1.0, 1.0]])


def test_the_loss_is_minus_the_mean_over_counted_tokens():
    x = Tensor(LOGP, requires_grad=True)
    loss = clipped_loss(x, OLD, A, COUNTED)
    assert loss.item() == pytest.approx(-(1.2 + 0.8) / 2, rel=1e-14)
    np.testing.assert_allclose(grad(loss, [x])[0].data, [[0, -0.4, 0]], rtol=1e-14)
    fixed = clipped_loss(x, OLD, A, COUNTED, how="fixed", total=4)
    assert fixed.item() == pytest.approx(loss.item() / 2, rel=1e-14)
    bad = clipped_loss(x, OLD, -A, COUNTED, book_clipped_surrogate)
    assert bad.item() == pytest.approx((1.2 + 0.8) / 2, rel=1e-14)
    dual = clipped_loss(x, OLD, -A, COUNTED, dual_clipped_surrogate, bound=1.3)
    assert dual.item() == pytest.approx((1.3 + 0.8) / 2, rel=1e-14)


def test_at_the_first_step_it_is_the_policy_gradient():
    rng = np.random.default_rng(0)
    x = Tensor(rng.normal(size=(2, 3)), requires_grad=True)
    counted, A = np.array([[1, 1, 0], [0, 1, 1]], bool), rng.normal(size=2)
    wanted = grad(policy_gradient_loss(x, A, counted), [x])[0].data
    for loss in (clipped_loss, importance_loss):
        found = grad(loss(x, x.data, A, counted), [x])[0].data
        np.testing.assert_allclose(found, wanted, atol=1e-15)


def test_old_log_probabilities_and_advantages_are_constants():
    x, old, A = (Tensor(np.log([[0.3, 0.2]]), requires_grad=True) for _ in range(3))
    for g in grad(clipped_loss(x, old, A, np.ones((1, 2), bool)), [old, A]):
        np.testing.assert_array_equal(g.data, 0)


def test_the_share_of_clipped_tokens():
    assert clip_fraction(LOGP, OLD, A, COUNTED) == 0.5  # of ratios 1.5 and .8
    assert clip_fraction(LOGP, OLD, A, np.ones((1, 3), bool)) == 2 / 3
    assert clip_fraction(LOGP, OLD, -A, COUNTED, low=0.1) == 0.5
    assert clip_fraction(LOGP, OLD, -A, COUNTED, low=0.3) == 0
    assert clip_fraction(LOGP, OLD, np.array([1.0]), COUNTED, high=0.6) == 0
    assert clip_fraction(Tensor(LOGP), OLD, 0 * A, COUNTED) == 0


@pytest.mark.parametrize("low, high", [(0.0, 0.2), (-0.1, None), (0.2, 0.0)])
def test_bounds_must_leave_room(low, high):
    for surrogate in (clipped_surrogate, book_clipped_surrogate, dual_clipped_surrogate):
        with pytest.raises(ConfigError, match="bounds"):
            value_and_slope(surrogate, RHO, 1.0, low=low, high=high)
    with pytest.raises(ConfigError, match="bounds"):
        clip_fraction(LOGP, OLD, A, COUNTED, low, high)
    with pytest.raises(ConfigError, match="bound 1.2"):
        value_and_slope(dual_clipped_surrogate, RHO, 1.0, bound=1.2)
