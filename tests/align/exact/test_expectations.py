"""Expectation, divergence and entropy over a listed policy, with zeros and with gradients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.align.small import random_policy
from tinylm.align.exact.expectations import entropy, expectation, kl
from tinylm.autograd import Tensor, grad, log_softmax

P = np.log([0.5, 0.25, 0.25])


def test_by_hand():
    assert expectation(P, np.array([2.0, 4.0, 8.0])) == pytest.approx(0.5 * 2 + 1 + 2, rel=1e-15)
    # 1/2 log 2 + 2 (1/4) log 4 = 1.5 log 2
    assert entropy(P) == pytest.approx(1.5 * np.log(2), rel=1e-15)
    # against the uniform one: log 3 - entropy
    uniform = np.log(np.full(3, 1 / 3))
    assert kl(P, uniform) == pytest.approx(np.log(3) - 1.5 * np.log(2), rel=1e-14)
    # and the other way: log(1/3) - (log 1/2 + 2 log 1/4) / 3
    assert kl(uniform, P) == pytest.approx(-np.log(3) + np.log(32) / 3, rel=1e-14)


def test_what_has_probability_0_adds_nothing():
    with np.errstate(divide="ignore"):
        certain = np.log([1.0, 0.0])
    half = np.log([0.5, 0.5])
    assert expectation(certain, np.array([3.0, np.inf])) == 3
    assert entropy(certain) == 0
    assert kl(certain, half) == pytest.approx(np.log(2))
    assert kl(certain, certain) == 0
    assert kl(half, certain) == np.inf  # what q excludes and p does not


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_divergence_is_0_for_the_same_policy_and_above_it_for_another(seed, K):
    rng = np.random.default_rng(seed)
    p, q = random_policy(rng, 2, K), random_policy(rng, 2, K)
    np.testing.assert_allclose(kl(p, p), 0, atol=1e-15)
    assert (kl(p, q) >= -1e-15).all() and kl(p, q).shape == (2,)
    # cross-entropy less entropy
    np.testing.assert_allclose(kl(p, q), -expectation(p, q) - entropy(p), atol=1e-13)


def test_arrays_give_arrays_and_tensors_give_tensors():
    p = random_policy(np.random.default_rng(0), 4)
    assert isinstance(expectation(p, 1.0), np.ndarray) and isinstance(kl(p, p), np.ndarray)
    t = Tensor(p, requires_grad=True)
    for found in (expectation(t, 1.0), expectation(p, t), kl(p, t), kl(t, p), entropy(t)):
        assert found.requires_grad
    assert isinstance(expectation(p, values=t), Tensor)


def test_gradients_of_both_divergences():
    """d KL(q || p) / dz = p - q and d KL(p || q) / dz_j = p_j (log p_j/q_j - KL), p = softmax z."""
    rng = np.random.default_rng(1)
    z, q = Tensor(rng.normal(size=5), requires_grad=True), random_policy(rng, 5)
    logp = log_softmax(z)
    p, ratio = np.exp(logp.data), logp.data - q
    (forward,) = grad(kl(q, log_softmax(z)), [z])
    np.testing.assert_allclose(forward.data, p - np.exp(q), atol=1e-14)
    (reverse,) = grad(kl(logp, q), [z])
    np.testing.assert_allclose(reverse.data, p * (ratio - p @ ratio), atol=1e-14)
