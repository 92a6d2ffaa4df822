"""Layer and RMS normalization: vectors worked by hand, invariances, and equality with the plain
twins.
"""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import assert_matches_twin, gradients, host, leaf
from tinylm.autograd.kernels import composed
from tinylm.autograd.kernels.rows import weighted_column_sums
from tinylm.errors import ShapeError

H = np.array([1.0, 2.0, 3.0, 4.0])  # mean 2.5, population variance 1.25, mean square 7.5


def ones(device, n=4):
    return tl.Tensor(np.ones(n), device=device)


@pytest.mark.parametrize("shape", [(4,), (1, 4), (2, 3, 5), (0, 3), (3, 1)])
def test_both_norms_equal_their_twins(device, rng, shape):
    x, gain, bias = rng.normal(size=shape), rng.normal(size=shape[-1]), rng.normal(size=shape[-1])
    assert_matches_twin(tl.layer_norm, composed.layer_norm, [x, gain, bias], device)
    assert_matches_twin(tl.layer_norm, composed.layer_norm, [x, gain], device)
    assert_matches_twin(tl.rms_norm, composed.rms_norm, [x, gain], device)
    assert_matches_twin(
        lambda *a: tl.layer_norm(*a, eps=0.5),
        lambda *a: composed.layer_norm(*a, eps=0.5),
        [x, gain, bias],
        device,
    )


def test_layer_norm_of_one_to_four(device):
    # eps inside the root: (h - 2.5) / sqrt(1.25 + 1e-5); with ddof=1 the first entry would be
    # -1.1619
    y = tl.layer_norm(tl.Tensor(H, device=device), ones(device))
    np.testing.assert_allclose(
        host(y), [-1.34163542, -0.44721181, 0.44721181, 1.34163542], atol=5e-9
    )


def test_rms_norm_of_one_to_four(device):
    # eps inside the root, 1e-5 as in the reference vector: h / sqrt(7.5 + 1e-5)
    y = tl.rms_norm(tl.Tensor(H, device=device), ones(device), eps=1e-5)
    np.testing.assert_allclose(host(y), H / np.sqrt(7.5 + 1e-5), rtol=1e-15)
    np.testing.assert_allclose(
        host(tl.rms_norm(tl.Tensor(H, device=device), ones(device), eps=0.0)),
        [0.36514837, 0.73029674, 1.09544512, 1.46059349],
        atol=5e-9,
    )  # h / 2.7386127875


def test_layer_norm_ignores_shift_and_scale_and_rms_norm_only_scale(rng):
    x, one = tl.Tensor(rng.normal(size=(3, 8))), ones("cpu", 8)

    def layer(a):
        return tl.layer_norm(a, one, eps=0.0).numpy()

    def rms(a):
        return tl.rms_norm(a, one, eps=0.0).numpy()

    np.testing.assert_allclose(layer(x * 5.0 + 3.0), layer(x), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(rms(x * 5.0), rms(x), rtol=1e-13)
    assert np.abs(rms(x + 3.0) - rms(x)).max() > 0.1
    np.testing.assert_allclose(
        rms(x - x.mean(axis=-1, keepdims=True)), layer(x), rtol=1e-12, atol=1e-12
    )


def test_output_has_the_mean_of_the_bias_and_the_deviation_of_the_gain(rng):
    y = tl.layer_norm(
        tl.Tensor(rng.normal(size=(2, 64))),
        tl.Tensor(np.full(64, 3.0)),
        tl.Tensor(np.full(64, -7.0)),
        eps=0.0,
    ).numpy()
    np.testing.assert_allclose(y.mean(-1), -7.0, rtol=1e-13)
    np.testing.assert_allclose(y.std(-1), 3.0, rtol=1e-13)


def test_constant_rows_give_the_bias_and_finite_gradients(device):
    for constant in (0.0, 5.0, 1e4):
        y, grads = gradients(tl.layer_norm, [np.full((2, 4), constant), H, -H], device)
        np.testing.assert_allclose(y, np.broadcast_to(-H, (2, 4)), atol=1e-9)
        assert all(np.isfinite(g).all() for g in grads)
    y, grads = gradients(tl.rms_norm, [np.zeros((2, 4)), H], device)
    np.testing.assert_array_equal(y, 0.0)
    assert all(np.isfinite(g).all() for g in grads)


def test_large_float32_offsets_keep_their_variance():
    # mean 1e4, deviation 1: computing E[x^2] - E[x]^2 in float32 would lose it (1e8 +- 1 has no
    # room for 1)
    x = np.array([[9999.0, 10001.0, 9999.0, 10001.0]], np.float32)
    y = tl.layer_norm(tl.Tensor(x), tl.Tensor(np.ones(4, np.float32)))
    np.testing.assert_allclose(
        y.numpy(), [[-1, 1, -1, 1]], rtol=1e-4
    )  # eps 1e-5 in a variance of 1, float32 mean


def test_gradients_of_a_normalized_row_are_orthogonal_to_what_is_removed(rng):
    # The output ignores shifts and scalings of x, so the gradient has no component along 1 or along
    # x - mean.
    _, (g, _) = gradients(
        lambda x, a: tl.layer_norm(x, a, eps=0.0), [rng.normal(size=(3, 8)), rng.normal(size=8)]
    )
    x = np.random.default_rng(0).normal(size=(3, 8))
    np.testing.assert_allclose(g.sum(-1), 0, atol=1e-13)
    np.testing.assert_allclose(np.sum(g * x, -1), 0, atol=1e-12)


def test_gains_of_another_width_are_named():
    with pytest.raises(
        ShapeError,
        match=r"layer_norm: gain has shape \(3,\), but the last axis of x \(2, 4\) needs \(4,\)",
    ):
        tl.layer_norm(leaf(np.ones((2, 4))), tl.Tensor(np.ones(3)))
    with pytest.raises(ShapeError, match="rms_norm: gain has shape"):
        tl.rms_norm(leaf(np.ones((2, 4))), tl.Tensor(np.ones((1, 4))))


def test_half_precision_adds_up_squares_that_it_cannot_hold(device, rng):
    x = 10 * rng.normal(size=(2, 1024))  # sums of squares near 1e5, above float16's 65504
    for norm in (tl.layer_norm, tl.rms_norm):
        y = norm(leaf(x, device, np.float16), leaf(np.ones(1024), device, np.float16))
        np.testing.assert_allclose(np.std(host(y.data).astype(float)), 1, atol=0.01)


@pytest.mark.parametrize("layer_norm", [tl.layer_norm, composed.layer_norm])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("D", [7, 768, 3000])
def test_constant_rows_far_from_zero_are_zero(layer_norm, dtype, D):
    x = tl.Tensor(np.full((2, D), 1000.0, dtype), requires_grad=True)
    y = layer_norm(x, tl.Tensor(np.ones(D, dtype)))
    np.testing.assert_allclose(y.numpy(), 0, atol=1e-6)  # means off by 1e-4 gave 0.03 and more
    g = np.zeros((2, D), dtype)
    g[:, 0] = 1
    y.backward(g)
    expected = (g.astype(float) - 1 / D) / 1e-5**0.5  # (g - mean(g)) / sqrt(eps)
    rtol = 3e-3 if dtype is np.float16 else 1e-5
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=rtol, atol=1e-3)


def test_a_row_is_normalized_alike_beside_any_other():
    row = np.linspace(-1, 1, 64, dtype=np.float32)
    far = np.full(64, 1e4, np.float32)  # needs its mean taken off twice
    gain = tl.Tensor(np.ones(64, np.float32))
    alone, beside = (
        tl.layer_norm(tl.Tensor(np.stack([row, other])), gain).numpy()[0] for other in (row, far)
    )
    np.testing.assert_array_equal(alone, beside)


@pytest.mark.parametrize("norm", ["layer_norm", "rms_norm"])
@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12, 1e16, 1e18, 1e25])
def test_gradients_of_float32_are_those_of_float64_for_rows_of_any_size(norm, size, rng):
    """r^3 of rows of 1e16 leaves float32, though the gradient does not."""
    x, gain, g = rng.normal(size=(3, 64)) * size, rng.normal(size=64), rng.normal(size=(3, 64))

    def results(dtype):
        a, w = (tl.Tensor(v.astype(np.float32).astype(dtype), True) for v in (x, gain))
        y = getattr(tl, norm)(a, w)
        y.backward(g.astype(dtype))
        return y.data, a.grad.data * dtype(size), w.grad.data

    for found, expected in zip(results(np.float32), results(np.float64)):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=2e-6 * np.abs(expected).max())


def test_weighted_sums_of_many_rows_keep_their_digits(rng):
    x, weights = rng.random((200_000, 8)).astype(np.float32), rng.random(200_000, np.float32)
    exact = np.sum(x.astype(float) * weights[:, None], 0)
    # One product is off by 3e-6, sums in runs by 7e-8.
    np.testing.assert_allclose(weighted_column_sums(weights, x), exact, rtol=1e-6)
    few, out = slice(0, 5), np.empty(8, np.float32)
    assert weighted_column_sums(weights[few], x[few], out) is out
    np.testing.assert_allclose(out, np.sum(x[few] * weights[few, None], 0), rtol=1e-6)
