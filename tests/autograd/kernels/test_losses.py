"""Softmax, log-softmax and cross-entropy: closed forms for every option, and no NaN at any logit."""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import assert_matches_twin, gradients, host, leaf, plain
from tinylm.autograd.kernels import composed, losses
from tinylm.errors import ConfigError, DataError, ShapeError

OPTIONS = [
    dict(),
    dict(reduction="sum"),
    dict(reduction="none"),
    dict(label_smoothing=0.1),
    dict(z_loss=0.01),
    dict(label_smoothing=0.2, z_loss=0.1, reduction="none"),
    dict(ignore_index=2),
    dict(ignore_index=2, reduction="sum", z_loss=0.1),
]


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_softmax_and_its_logarithm_equal_their_twins(device, rng, axis):
    x = rng.normal(size=(2, 3, 4)) * 3
    assert_matches_twin(
        lambda a: tl.softmax(a, axis=axis), lambda a: composed.softmax(a, axis=axis), [x], device
    )
    assert_matches_twin(
        lambda a: tl.log_softmax(a, axis=axis),
        lambda a: composed.log_softmax(a, axis=axis),
        [x],
        device,
    )
    np.testing.assert_allclose(
        host(tl.softmax(tl.Tensor(x, device=device), axis=axis)).sum(axis), 1, rtol=1e-14
    )


def test_softmax_of_minus_infinity_is_zero_with_zero_gradient(device):
    inf = np.inf
    y, (g,) = gradients(tl.softmax, [np.array([[0.0, -inf, np.log(3)], [-inf, -inf, 7.0]])], device)
    np.testing.assert_allclose(y, [[0.25, 0, 0.75], [0, 0, 1]], rtol=1e-15)
    assert np.isfinite(g).all() and g[0, 1] == 0 and (g[1] == 0).all()


def test_softmax_ignores_a_constant_and_survives_large_logits(device):
    x = np.array([[1e4, 1e4 - 1, -1e4]])
    y, (g,) = gradients(tl.softmax, [x], device)
    np.testing.assert_allclose(y, softmax(np.array([[1.0, 0.0, -1e5]])), rtol=1e-12)
    assert np.isfinite(g).all()
    top = -np.log1p(np.exp(-1))  # the third entry adds nothing: exp(-2e4) is 0
    y = host(tl.log_softmax(tl.Tensor(x, device=device)))
    np.testing.assert_allclose(y, [[top, top - 1, top - 2e4]], rtol=1e-12)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", [(6,), (2, 3)])
def test_cross_entropy_equals_its_twin(device, rng, options, shape):
    logits, targets = rng.normal(size=(*shape, 5)) * 2, plain(rng.integers(0, 5, shape), device)
    assert_matches_twin(
        lambda x: tl.cross_entropy(x, targets, **options),
        lambda x: composed.cross_entropy(x, targets, **options),
        [logits],
        device,
    )


def test_cross_entropy_is_the_negative_log_probability(device):
    # Uniform logits over 4: log 4. Probabilities (1/2, 1/4, 1/8, 1/8) and target 2: log 8.
    logits = plain(np.array([[0.0] * 4, np.log([0.5, 0.25, 0.125, 0.125])]), device)
    losses = host(tl.cross_entropy(tl.Tensor(logits), plain([1, 2], device), reduction="none"))
    np.testing.assert_allclose(losses, [np.log(4), np.log(8)], rtol=1e-14)
    assert tl.cross_entropy(tl.Tensor(logits), plain([1, 2], device)).item() == pytest.approx(
        np.log(32) / 2, rel=1e-14
    )


def test_the_gradient_is_probability_minus_one_hot(device, rng):
    x = rng.normal(size=(3, 5))
    leaf_ = leaf(x, device)
    tl.cross_entropy(leaf_, plain([4, 0, 0], device)).backward()
    np.testing.assert_allclose(
        host(leaf_.grad), (softmax(x) - np.eye(5)[[4, 0, 0]]) / 3, rtol=1e-12, atol=1e-15
    )


def test_label_smoothing_mixes_in_the_uniform_distribution(rng):
    x, e = rng.normal(size=(1, 4)), 0.3
    logp = np.log(softmax(x))[0]
    q = e / 4 + (1 - e) * np.eye(4)[2]
    assert tl.cross_entropy(leaf(x), [2], label_smoothing=e).item() == pytest.approx(
        -q @ logp, rel=1e-13
    )


def test_z_loss_adds_the_square_of_the_log_partition(rng):
    x = rng.normal(size=(1, 4))
    plain_loss, z = tl.cross_entropy(leaf(x), [2]).item(), np.log(np.exp(x).sum())
    assert tl.cross_entropy(leaf(x), [2], z_loss=0.1).item() == pytest.approx(
        plain_loss + 0.1 * z**2, rel=1e-13
    )


def test_ignored_targets_count_nothing(device, rng):
    x = rng.normal(size=(4, 3))
    targets = np.array([1, -100, 2, -100])
    y, (g,) = gradients(lambda a: tl.cross_entropy(a, plain(targets, device)), [x], device)
    kept = gradients(
        lambda a: tl.cross_entropy(a, plain(targets[[0, 2]], device)), [x[[0, 2]]], device
    )
    np.testing.assert_allclose(y, kept[0], rtol=1e-15)
    np.testing.assert_allclose(g[[0, 2]], kept[1][0], rtol=1e-14)
    np.testing.assert_array_equal(g[[1, 3]], 0)


@pytest.mark.parametrize("reduction, expected", [("mean", 0.0), ("sum", 0.0), ("none", [0.0, 0.0])])
def test_nothing_to_predict_costs_nothing(device, reduction, expected):
    y, (g,) = gradients(
        lambda a: tl.cross_entropy(a, plain([-100, -100], device), reduction=reduction, z_loss=0.1),
        [np.ones((2, 3))],
        device,
    )
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(g, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_nan_at_logits_of_ten_thousand(device, dtype):
    x = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4]])
    y, (g,) = gradients(
        lambda a: tl.cross_entropy(a, plain([0, 0, 1, 2], device), reduction="none"),
        [x],
        device,
        dtype,
    )
    np.testing.assert_allclose(y, [0, 2e4, np.log(3), np.log(3)], rtol=1e-6)
    assert np.isfinite(g).all()


def test_targets_may_be_lists_tensors_or_arrays(rng):
    x = tl.Tensor(rng.normal(size=(2, 3)))
    losses = {
        tl.cross_entropy(x, t).item()
        for t in (
            [0, 2],
            np.array([0, 2]),
            tl.Tensor(np.array([0, 2])),
            np.array([0, 2], np.uint16),
        )
    }
    assert len(losses) == 1


def test_what_does_not_fit_is_named():
    x = tl.Tensor(np.ones((2, 3)))
    with pytest.raises(
        ShapeError, match=r"cross_entropy: logits \(2, 3\) need targets \(2,\), not \(3,\)"
    ):
        tl.cross_entropy(x, [0, 1, 2])
    with pytest.raises(
        DataError, match="cross_entropy: token id 3 at position .* outside the vocabulary of 3"
    ):
        tl.cross_entropy(x, [0, 3])
    with pytest.raises(ConfigError, match="'average' is not one of 'mean', 'sum', 'none'"):
        tl.cross_entropy(x, [0, 1], reduction="average")


def test_a_target_that_does_not_count_hides_inf_and_nan_forward_and_backward():
    inf, nan = np.inf, np.nan
    x = tl.Tensor([[-inf, 0.0, 1.0], [-inf, nan, inf]], requires_grad=True)
    loss = tl.cross_entropy(x, np.array([1, -100]))
    assert np.allclose(loss.numpy(), np.log(1 + np.e))  # of the first row alone: 1.3133
    loss.backward()
    assert np.array_equal(x.grad.numpy()[1], [0, 0, 0]) and np.isfinite(x.grad.numpy()).all()
    ignored = tl.Tensor([[inf, nan, 1.0]], requires_grad=True)
    loss = tl.cross_entropy(ignored, np.array([-100]))
    loss.backward()
    assert loss.numpy() == 0 and np.array_equal(ignored.grad.numpy(), [[0, 0, 0]])


@pytest.mark.parametrize("operation", [tl.softmax, tl.log_softmax])
def test_a_softmax_across_many_rows_keeps_its_digits(operation, rng):
    x = rng.random((300_000, 2)).astype(np.float32)
    y = operation(tl.Tensor(x), axis=0).numpy().astype(np.float64)
    exact = operation(tl.Tensor(x.astype(np.float64)), axis=0).numpy()
    np.testing.assert_allclose(y, exact, rtol=1e-6)


@pytest.mark.parametrize("dtype, digits", [("float32", 1e-6), ("float64", 1e-14)])
@pytest.mark.parametrize("shift", [0.0, 59.0, 61.0, -61.0, 3e4])  # without and with row maxima
@pytest.mark.parametrize("n", [1, 7, 64, 3000])  # sums by BLAS, and pairwise from 1,025 on
def test_a_softmax_keeps_its_digits_wherever_its_logits_are(n, shift, dtype, digits):
    drawn = np.random.default_rng(0)
    x = drawn.integers(-4, 5, (5, n)) / 4  # quarters, so that x + shift is exact
    g = drawn.normal(size=x.shape).astype(dtype)
    a = tl.Tensor((x + shift).astype(dtype), requires_grad=True)
    y = tl.softmax(a)
    y.backward(g)
    exact = softmax(x)
    np.testing.assert_allclose(y.data, exact, rtol=digits)
    expected = exact * (g - (g * exact).sum(-1, keepdims=True))
    np.testing.assert_allclose(a.grad.data, expected, rtol=0, atol=digits)


def test_one_logit_that_is_not_finite_takes_only_its_row(device):
    x = np.zeros((4, 3))
    x[1, 1], x[2, 1], x[3] = np.nan, np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        y = host(tl.softmax(tl.Tensor(x, device=device)))
    np.testing.assert_allclose(y[0], 1 / 3)
    assert np.isnan(y[1:]).all()


def test_gradients_of_log_softmax_are_the_same_kept_or_computed_again(monkeypatch, rng):
    x, g = rng.normal(size=(5, 9)) * 10, rng.normal(size=(5, 9))
    x[0, 3] = -1e9  # its probability is 0
    found = []
    for kept in (losses.KEPT, 0):
        monkeypatch.setattr(losses, "KEPT", kept)
        found.append(gradients(lambda a: tl.log_softmax(a) * g, [x]))
    (first, (a,)), (second, (b,)) = found
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14)


def test_logits_that_are_not_contiguous_get_their_gradient(rng):
    x, ids = rng.normal(size=(4, 3)), np.array([1, 0, 3])
    y, (g,) = gradients(lambda a: tl.cross_entropy(tl.swapaxes(a, 0, 1), ids), [x])
    z, (h,) = gradients(lambda a: tl.cross_entropy(a, ids), [np.ascontiguousarray(x.T)])
    np.testing.assert_allclose(y, z, rtol=1e-15)
    np.testing.assert_allclose(g, h.T, rtol=1e-13)
