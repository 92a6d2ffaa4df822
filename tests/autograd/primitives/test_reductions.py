"""Reductions over every kind of axis argument, against NumPy and against differences."""
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinylm as tl
from tests.numeric import differences, gradients, host, leaf


def logsumexp(a, axis=None, keepdims=False):
    return np.log(np.sum(np.exp(a), axis=axis, keepdims=keepdims))


REDUCTIONS = {"sum": (tl.sum, np.sum), "mean": (tl.mean, np.mean), "max": (tl.max, np.max), "min": (tl.min, np.min),
              "logsumexp": (tl.logsumexp, logsumexp)}


@pytest.mark.parametrize("device", ["cpu", "strict"])
@pytest.mark.parametrize("name", REDUCTIONS)
@given(shape=hnp.array_shapes(min_dims=0, max_dims=3, max_side=3), keepdims=st.booleans(), data=st.data())
def test_reductions_are_numpys_over_any_axes(name, device, shape, keepdims, data):
    operation, numpy_operation = REDUCTIONS[name]
    axis = data.draw(st.none() | hnp.valid_tuple_axes(len(shape), min_size=1)) if shape else None
    if isinstance(axis, tuple) and len(axis) == 1:
        axis = axis[0]
    size = int(np.prod(shape))
    # no ties: a tie is a kink of max and min
    values = np.random.default_rng(0).permutation(size).reshape(shape) * 0.1
    y, (g,) = gradients(lambda a: operation(a, axis=axis, keepdims=keepdims), [values], device)
    expected = np.asarray(numpy_operation(values, axis=axis, keepdims=keepdims))
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=1e-14)
    cotangent = np.random.default_rng(0).normal(size=y.shape)
    numeric = differences(lambda v: float(np.sum(cotangent * numpy_operation(v, axis=axis, keepdims=keepdims))),
                          [values])[0]
    np.testing.assert_allclose(g, numeric, rtol=1e-6, atol=1e-8)


def test_equal_extremes_share_the_gradient_evenly(device):
    x = leaf([[2.0, 2.0, 1.0], [0.0, 3.0, 3.0]], device)
    x.max(axis=1).sum().backward()
    np.testing.assert_array_equal(host(x.grad), [[0.5, 0.5, 0], [0, 0.5, 0.5]])
    x.grad = None
    (-x).min().backward()                                   # the smallest of -x is -3, twice
    np.testing.assert_array_equal(host(x.grad), [[0, 0, 0], [0, -0.5, -0.5]])


def test_logsumexp_neither_overflows_nor_gives_nan(device):
    inf = np.inf
    x = leaf([[1e4, 1e4], [-1e4, -1e4], [-inf, 0.0], [-inf, -inf]], device)
    y = tl.logsumexp(x, axis=1)
    np.testing.assert_allclose(host(y), [1e4 + np.log(2), -1e4 + np.log(2), 0.0, -inf], rtol=1e-15)
    y.sum().backward()
    np.testing.assert_allclose(host(x.grad), [[0.5, 0.5], [0.5, 0.5], [0, 1], [0, 0]])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_cumsum_runs_forward_and_its_gradient_backward(device, rng, axis):
    values = rng.normal(size=(3, 4))
    y, (g,) = gradients(lambda a: a.cumsum(axis), [values], device)
    np.testing.assert_allclose(y, np.cumsum(values, axis), rtol=1e-14)
    cotangent = np.random.default_rng(0).normal(size=(3, 4))
    np.testing.assert_allclose(g, np.flip(np.cumsum(np.flip(cotangent, axis), axis), axis), rtol=1e-13)


def test_mean_of_float32_stays_float32(device):
    x = leaf(np.ones((2, 3)), device, np.float32)
    y = x.mean(axis=0)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == np.float32
    np.testing.assert_array_equal(host(x.grad), np.full((2, 3), 0.5, np.float32))


def test_variance_and_deviation_are_numpys(rng, device):
    x = rng.normal(size=(3, 4, 2))
    for axis in (None, 0, (0, 2)):
        t = tl.Tensor(x, device=device)
        np.testing.assert_allclose(t.var(axis=axis).numpy(), x.var(axis=axis), rtol=1e-14)
        np.testing.assert_allclose(tl.std(t, axis=axis, keepdims=True).numpy(), x.std(axis=axis, keepdims=True), rtol=1e-14)
