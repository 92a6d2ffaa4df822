"""Swish, the sigmoid GELU, GLU and the cross-entropy against a distribution: values, limits and
slopes.
"""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import gradients, host, leaf
from tinylm.errors import ConfigError, ShapeError

X = np.linspace(-6, 6, 241)


def test_swish_goes_from_half_the_identity_through_silu_to_relu():
    np.testing.assert_array_equal(tl.swish(X, 0.0).numpy(), X / 2)  # sigmoid(0) = 1/2
    np.testing.assert_allclose(tl.swish(X, 1.0).numpy(), tl.silu(tl.Tensor(X)).numpy(), rtol=1e-14)
    np.testing.assert_allclose(
        tl.swish(np.array([1.0, -1.0])).numpy(), [0.7310585786, -0.2689414214], atol=5e-11
    )
    # |swish - relu| = |x| / (1 + exp(c |x|)) <= 0.28/c: it is u/(1+e^u)/c, whose maximum over u is
    # 0.2785
    for c in (10.0, 100.0, 1000.0):
        assert np.abs(tl.swish(X, c).numpy() - np.maximum(X, 0)).max() <= 0.2785 / c


def test_swish_at_1_702_is_close_to_gelu():
    np.testing.assert_allclose(tl.gelu_sigmoid(np.array([1.0])).numpy(), [0.8457957659], atol=5e-11)
    error = np.abs(tl.gelu_sigmoid(X).numpy() - tl.gelu(tl.Tensor(X)).numpy()).max()
    assert 0.020 < error < 0.021  # 0.0203, near |x| = 2.2: close, not equal


def test_the_slope_of_swish_is_learnt_like_any_parameter(device, rng):
    x, c = rng.normal(size=(4, 3)), np.array(1.3)
    s = 1 / (1 + np.exp(-c * x))
    _, (by_x, by_c) = gradients(tl.swish, [x, c], device)
    cotangent = np.random.default_rng(0).normal(size=(4, 3))
    np.testing.assert_allclose(by_x, cotangent * (s + c * x * s * (1 - s)), rtol=1e-12)
    np.testing.assert_allclose(by_c, np.sum(cotangent * x * x * s * (1 - s)), rtol=1e-12)


def test_glu_is_a_sigmoid_gate_and_an_open_gate_lets_all_through(device, rng):
    gate, up = rng.normal(size=(2, 5)), rng.normal(size=(2, 5))
    y = host(tl.glu(leaf(gate, device), leaf(up, device)))
    np.testing.assert_allclose(y, up / (1 + np.exp(-gate)), rtol=1e-14)
    np.testing.assert_allclose(
        tl.glu(tl.Tensor(np.full((2, 5), 40.0)), tl.Tensor(up)).numpy(), up, rtol=1e-15
    )  # e^-40
    np.testing.assert_array_equal(
        tl.glu(tl.Tensor(np.zeros((2, 5))), tl.Tensor(up)).numpy(), up / 2
    )


def test_gelu_is_x_times_the_share_of_normal_draws_below_it(rng):
    draws, x = np.sort(rng.normal(size=1_000_000)), np.array([-2.0, -0.5, 0.3, 1.7])
    share = np.searchsorted(draws, x) / len(draws)
    # a share of 10^6 draws has a standard deviation of at most 0.0005; times |x| <= 2, five of them
    np.testing.assert_allclose(
        tl.gelu(tl.Tensor(x)).numpy(), x * share, rtol=0, atol=5 * 0.0005 * 2
    )


def test_one_hot_distributions_give_cross_entropy_and_the_gradient_is_p_minus_gold(device, rng):
    logits, ids = rng.normal(size=(3, 5)), [4, 0, 2]
    y, (g, _) = gradients(tl.soft_cross_entropy, [logits, np.eye(5)[ids]], device)
    np.testing.assert_allclose(y, tl.cross_entropy(tl.Tensor(logits), ids).numpy(), rtol=1e-14)
    x, gold = leaf(logits, device), rng.dirichlet(np.ones(5), 3)
    tl.soft_cross_entropy(x, tl.Tensor(gold, device=device), reduction="sum").backward()
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(host(x.grad), p - gold, rtol=1e-12, atol=1e-15)
    smooth = tl.soft_cross_entropy(tl.Tensor(logits), 0.9 * np.eye(5)[ids] + 0.1 / 5)
    expected = tl.cross_entropy(tl.Tensor(logits), ids, label_smoothing=0.1)
    np.testing.assert_allclose(smooth.numpy(), expected.numpy(), rtol=1e-13)


def test_no_prediction_costs_less_than_the_entropy_of_the_gold_distribution(rng):
    gold = rng.dirichlet(np.ones(6))
    entropy = -np.sum(gold * np.log(gold))
    best = tl.soft_cross_entropy(tl.Tensor(np.log(gold)), gold).item()
    assert best == pytest.approx(entropy, rel=1e-13)
    assert tl.soft_cross_entropy(tl.Tensor(np.log(gold) + 7), gold).item() == pytest.approx(
        entropy, rel=1e-12
    )
    for _ in range(20):  # and everything else costs more, by the divergence
        other = np.log(gold) + 0.1 * rng.normal(size=6)
        assert tl.soft_cross_entropy(tl.Tensor(other), gold).item() > entropy


def test_what_is_no_distribution_over_the_vocabulary_is_refused():
    logits = tl.Tensor(np.zeros((2, 3)))
    with pytest.raises(ShapeError, match=r"soft_cross_entropy: logits \(2, 3\).*not \(2,\)"):
        tl.soft_cross_entropy(logits, np.zeros(2))
    with pytest.raises(ConfigError, match="'total'"):
        tl.soft_cross_entropy(logits, np.zeros((2, 3)), reduction="total")
