"""Arithmetic and geometric means of distributions: where they agree, and where not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import ConfigError, ShapeError
from tinylm.prompt.ensemble.means import (
    arithmetic_mean,
    check_weights,
    geometric_mean,
    log_sum_exp,
)

# The two experts of the header.
P = np.array([[0.70, 0.25, 0.05], [0.02, 0.25, 0.73]])
HALF = np.array([0.5, 0.5])


def test_mixture_and_product_disagree():
    mixture = np.exp(arithmetic_mean(np.log(P), HALF))
    np.testing.assert_allclose(mixture, [0.36, 0.25, 0.39], rtol=0, atol=1e-12)
    product = np.exp(geometric_mean(np.log(P), HALF))
    roots = np.sqrt([0.014, 0.0625, 0.0365])  # .70 * .02, .25 * .25, .05 * .73
    np.testing.assert_allclose(product, roots / roots.sum(), rtol=0, atol=1e-12)
    assert (mixture.argmax(), product.argmax()) == (2, 1)


@given(st.integers(0, 999), st.integers(1, 4), st.integers(2, 5))
def test_both_are_distributions_and_means(seed, K, V):
    rng = np.random.default_rng(seed)
    p, w = rng.dirichlet(np.ones(V), K), rng.dirichlet(np.ones(K))
    for mean in (arithmetic_mean, geometric_mean):
        assert np.exp(mean(np.log(p), w)).sum() == pytest.approx(1)
        same = np.log(p[:1].repeat(K, axis=0))
        np.testing.assert_allclose(np.exp(mean(same, w)), p[0], rtol=0, atol=1e-12)
        one = np.exp(mean(np.log(p), np.arange(K) == 0))
        np.testing.assert_allclose(one, p[0], rtol=0, atol=1e-12)


def test_they_average_over_the_first_axis_alone():
    p = np.stack([P, P[::-1]])  # (K = 2, B = 2, V = 3)
    for mean in (arithmetic_mean, geometric_mean):
        found = mean(np.log(p), np.array([0.3, 0.7]))
        assert found.shape == (2, 3)
        row = mean(np.log(p[:, 1]), np.array([0.3, 0.7]))
        np.testing.assert_allclose(found[1], row, rtol=0, atol=1e-12)


def test_a_veto_counts_in_the_product_alone():
    with np.errstate(divide="ignore"):
        logs = np.log([[0.5, 0.5], [0.0, 1.0]])
    np.testing.assert_allclose(np.exp(arithmetic_mean(logs, HALF)), [0.25, 0.75])
    np.testing.assert_allclose(np.exp(geometric_mean(logs, HALF)), [0.0, 1.0])
    # Without weight it has none, and 0 * -inf is no nan.
    np.testing.assert_allclose(np.exp(geometric_mean(logs, np.array([1.0, 0]))), [0.5, 0.5])
    np.testing.assert_allclose(np.exp(arithmetic_mean(logs, np.array([1.0, 0]))), [0.5, 0.5])


def test_log_sum_exp_at_the_ends_of_the_range():
    np.testing.assert_allclose(log_sum_exp([-1000.0, -1000.0]), -1000 + np.log(2))
    np.testing.assert_allclose(log_sum_exp([[0.0, -np.inf], [0.0, -np.inf]]), [np.log(2), -np.inf])


def test_weights_are_shares():
    assert check_weights(None, 4).tolist() == [0.25] * 4
    assert check_weights([1, 3], 2).tolist() == [0.25, 0.75]
    assert check_weights([0, 2], 2).tolist() == [0, 1]
    with pytest.raises(ShapeError, match=r"shape \(2,\), and there are 3 members"):
        check_weights([1, 1], 3)
    for weights in ([0, 0], [2, -1], [np.nan, 1], [np.inf, 1]):
        with pytest.raises(ConfigError, match="must be 0 or more, and not all 0"):
            check_weights(weights, 2)


def test_any_number_of_axes_may_stand_between():
    p = np.random.default_rng(0).dirichlet(np.ones(4), (2, 3, 5))  # (K, B, T, V)
    weights = np.array([0.2, 0.8])
    mixture = np.einsum("k,kbtv->btv", weights, p)
    np.testing.assert_allclose(np.exp(arithmetic_mean(np.log(p), weights)), mixture, atol=1e-12)
    product = np.exp(geometric_mean(np.log(p), weights))
    np.testing.assert_allclose(product[1, 4], np.exp(geometric_mean(np.log(p[:, 1, 4]), weights)))
    np.testing.assert_allclose(
        np.exp(arithmetic_mean(np.log(p[:, 0, 0, 0]), weights)), mixture[0, 0, 0]
    )
