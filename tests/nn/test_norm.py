"""Norm layers and the three places a block may put them   (book eqs. 2.4, 2.5)."""

import numpy as np
import pytest

from tests.numeric import leaf
from tinylm import Tensor, grad
from tinylm.nn import PLACEMENTS, LayerNorm, RMSNorm, branch_norm, post_norm, pre_norm


@pytest.fixture
def x(rng):
    return leaf(rng.normal(size=(3, 8)) * 4 + 1)


def norm():
    return LayerNorm(8, dtype=np.float64)


def matrix_branch(rng):
    weight = Tensor(rng.normal(size=(8, 8)))
    return lambda h: h @ weight


def test_norm_layers_hold_gain_and_bias():
    assert list(LayerNorm(8).named_parameters().keys()) == ["gain", "bias"]
    assert list(LayerNorm(8, bias=False).named_parameters().keys()) == ["gain"]
    assert list(RMSNorm(8).named_parameters().keys()) == ["gain"]
    assert list(RMSNorm(8, bias=True).named_parameters().keys()) == ["gain"]  # it has none
    # As in the layers' papers' code: 1e-5 beside a variance, 1e-6 beside a mean square (LLaMA).
    assert (LayerNorm(8).eps, RMSNorm(8).eps) == (1e-5, 1e-6)
    gain, bias = LayerNorm(8).parameters()
    assert (gain.numpy() == 1).all() and (bias.numpy() == 0).all()


def test_the_placements_are_what_their_equations_say(rng, x):
    f, n = matrix_branch(rng), norm()
    np.testing.assert_array_equal(pre_norm(x, f, n).numpy(), (x + f(n(x))).numpy())
    np.testing.assert_array_equal(post_norm(x, f, n).numpy(), n(x + f(x)).numpy())
    np.testing.assert_array_equal(branch_norm(x, f, n).numpy(), (x + n(f(x))).numpy())


def test_the_placements_are_three_different_maps(rng, x):
    f, n = matrix_branch(rng), norm()
    results = [place(x, f, n).numpy() for place in PLACEMENTS.values()]
    for i in range(3):
        for j in range(i):
            assert np.abs(results[i] - results[j]).max() > 0.5


def test_post_norm_rows_have_mean_zero_and_variance_one_at_any_depth(rng, x):
    f, n, h = matrix_branch(rng), norm(), x
    for _ in range(6):
        h = post_norm(h, f, n)
        np.testing.assert_allclose(h.numpy().mean(-1), 0, atol=1e-14)
        np.testing.assert_allclose(
            h.numpy().var(-1), 1, rtol=1e-4
        )  # 1 - eps / variance, eps = 1e-5


def test_a_branch_of_zero_is_the_identity_before_and_on_the_branch_but_not_after(x):
    for place, identity in ((pre_norm, True), (branch_norm, True), (post_norm, False)):
        y = place(x, lambda h: h * 0.0, norm())
        assert np.array_equal(y.numpy(), x.numpy()) == identity


@pytest.mark.parametrize("place", [pre_norm, branch_norm])
def test_the_residual_carries_the_gradient_unchanged(rng, x, place):
    f, n, v = matrix_branch(rng), norm(), rng.normal(size=(3, 8))
    (whole,) = grad(place(x, f, n), [x], v)
    (branch,) = grad(place(x, f, n) - x, [x], v)
    # the Jacobian contains + I
    np.testing.assert_allclose(whole.numpy() - branch.numpy(), v, rtol=1e-12, atol=1e-12)


def test_depth_shrinks_the_gradient_without_a_residual_and_not_with_one(rng):
    weights = [
        Tensor(rng.normal(size=(8, 8)) * 0.1) for _ in range(20)
    ]  # each branch shrinks by about 0.3

    def size(residual):
        x = leaf(rng.normal(size=(1, 8)))
        h = x
        for w in weights:
            h = h + h @ w if residual else h @ w
        return float(np.linalg.norm(grad(h.sum(), [x])[0].numpy()))

    assert size(residual=False) < 1e-6 < 0.1 < size(residual=True)
