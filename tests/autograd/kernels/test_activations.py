"""Activations: published values, identities, limits, and equality with the plain twins; dropout."""

import math

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import assert_matches_twin, gradients, host, leaf
from tinylm.autograd.kernels import composed
from tinylm.backend import Random
from tinylm.errors import ConfigError

SINGLE = {
    name: (getattr(tl, name), getattr(composed, name)) for name in ("gelu", "gelu_tanh", "silu")
}
GATED = {name: (getattr(tl, name), getattr(composed, name)) for name in ("swiglu", "geglu")}


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4), (0, 2)])
def test_every_activation_equals_its_twin(device, rng, shape):
    x, up = rng.normal(size=shape) * 3, rng.normal(size=shape)
    for fused, twin in SINGLE.values():
        assert_matches_twin(fused, twin, [x], device)
    for fused, twin in GATED.values():
        assert_matches_twin(fused, twin, [x, up], device)


def test_gelu_at_integers_and_halves(device):
    x = np.array([-3, -2, -1, -0.5, 0, 0.5, 1, 2, 3])
    expected = [
        -0.0040496941,
        -0.0455002639,
        -0.1586552539,
        -0.1542687694,
        0,
        0.3457312306,
        0.8413447461,
        1.9544997361,
        2.9959503059,
    ]
    y = host(tl.gelu(tl.Tensor(x, device=device)))
    np.testing.assert_allclose(y, expected, atol=5e-11)  # x Phi(x), Phi from tables
    np.testing.assert_allclose(y - y[::-1], x, atol=1e-15)  # gelu(x) - gelu(-x) = x
    np.testing.assert_allclose(
        host(tl.gelu_tanh(tl.Tensor([1.0], device=device))), [0.8411919906], atol=5e-11
    )


def test_silu_at_one_and_relu():
    np.testing.assert_allclose(
        tl.silu(tl.Tensor([1.0, -1.0])).numpy(), [0.7310585786, -0.2689414214], atol=5e-11
    )
    np.testing.assert_array_equal(
        tl.relu(tl.Tensor([-1.0, 0.0, 0.25, 2.0])).numpy(), [0.0, 0.0, 0.25, 2.0]
    )
    np.testing.assert_array_equal(tl.relu(np.array([-1.0, 2.0])).numpy(), [0.0, 2.0])


def test_the_minimum_of_gelu_is_near_minus_three_quarters():
    x = np.linspace(-2, 0, 20001)
    y, (slope,) = tl.gelu(tl.Tensor(x)).numpy(), gradients(lambda a: tl.gelu(a).sum(), [x])[1]
    assert abs(x[y.argmin()] + 0.7518) < 1e-4 and abs(y.min() + 0.17) < 1e-4
    assert abs(slope[y.argmin()]) < 2e-4  # the slope vanishes there, up to the grid


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_inputs_become_relu_without_warnings(device, name, dtype):
    x = np.array([-1e4, -100.0, -40.0, 40.0, 100.0, 1e4])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y, (slope,) = gradients(lambda a: SINGLE[name][0](a), [x], device, dtype)
    np.testing.assert_allclose(y, np.maximum(x, 0), atol=1e-6)
    cotangent = np.random.default_rng(0).normal(size=6).astype(dtype)
    np.testing.assert_allclose(slope, cotangent * (x > 0), atol=1e-6)


def test_a_gate_of_one_value_is_a_plain_activation():
    x = leaf([0.5, -1.0, 2.0])
    np.testing.assert_array_equal(tl.geglu(x, tl.Tensor(np.ones(3))).numpy(), tl.gelu(x).numpy())
    np.testing.assert_array_equal(
        tl.swiglu(x, tl.Tensor(np.full(3, 2.0))).numpy(), 2 * tl.silu(x).numpy()
    )


def test_activations_are_the_same_whether_a_backward_will_follow_or_not(rng):
    x = rng.normal(size=(3, 5))
    for fused, _ in SINGLE.values():
        np.testing.assert_allclose(fused(tl.Tensor(x)).numpy(), fused(leaf(x)).numpy(), rtol=1e-15)


def test_dropout_keeps_the_mean_and_drops_the_promised_share(device):
    n, p = 100_000, 0.3
    x = leaf(np.ones((n,)), device)
    y = host(tl.dropout(x, p, Random(0, device=device)))
    kept = y > 0
    np.testing.assert_allclose(y[kept], 1 / 0.7, rtol=1e-6)
    assert abs(kept.mean() - 0.7) < 5 * math.sqrt(
        p * (1 - p) / n
    )  # five standard deviations of a share


def test_dropout_drops_in_the_gradient_what_it_dropped_in_the_value(device):
    x = leaf(np.ones((10, 10)), device)
    y = tl.dropout(x, 0.5, Random(1, device=device))
    y.sum().backward()
    np.testing.assert_array_equal(host(x.grad), host(y))


def test_dropout_repeats_with_its_stream_and_draws_nothing_at_zero(device):
    x, rng = leaf(np.ones(64), device), Random(2, device=device)
    assert tl.dropout(x, 0.0, rng) is x and rng.counter == 0
    first = host(tl.dropout(x, 0.5, rng))
    second = host(tl.dropout(x, 0.5, rng))
    rng.counter = 0
    np.testing.assert_array_equal(host(tl.dropout(x, 0.5, rng)), first)
    assert (first != second).any()


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5])
def test_impossible_dropout_is_refused(p):
    with pytest.raises(ConfigError, match=rf"dropout: p = {p} is not in \[0, 1\)"):
        tl.dropout(leaf([1.0]), p, Random(0))
