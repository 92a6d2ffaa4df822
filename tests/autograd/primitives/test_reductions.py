"""Reductions over every kind of axis argument, against NumPy and against differences."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinylm as tl
from tests.numeric import differences, gradients, host, leaf
from tinylm.autograd.primitives.reductions import accurate_sum
from tinylm.autograd.primitives.statistics import mean_square, mean_where, scale_of_squares


def logsumexp(a, axis=None, keepdims=False):
    return np.log(np.sum(np.exp(a), axis=axis, keepdims=keepdims))


REDUCTIONS = {
    "sum": (tl.sum, np.sum),
    "mean": (tl.mean, np.mean),
    "max": (tl.max, np.max),
    "min": (tl.min, np.min),
    "logsumexp": (tl.logsumexp, logsumexp),
}


@pytest.mark.parametrize("device", ["cpu", "strict"])
@pytest.mark.parametrize("name", REDUCTIONS)
@given(
    shape=hnp.array_shapes(min_dims=0, max_dims=3, max_side=3),
    keepdims=st.booleans(),
    data=st.data(),
)
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
    numeric = differences(
        lambda v: float(np.sum(cotangent * numpy_operation(v, axis=axis, keepdims=keepdims))),
        [values],
    )[0]
    np.testing.assert_allclose(g, numeric, rtol=1e-6, atol=1e-8)


@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 2200), st.integers(1, 5)),
    axis=st.sampled_from([None, 0, 1, 2, (0, 1), (1, 2), (0, 2), (0, 1, 2)]),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_sums_by_products_with_ones_keep_the_digits_of_their_dtype(shape, axis, dtype):
    a = np.random.default_rng(shape[1]).random(shape).astype(dtype)
    found, expected = accurate_sum(a, axis), np.sum(a, axis, dtype=np.longdouble)
    assert found.dtype == dtype and found.shape == expected.shape
    # random() is positive: the sum is that of absolute values. Measured 3e-7 at most in float32.
    np.testing.assert_allclose(found, expected.astype(dtype), rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("strange", [np.inf, -np.inf, np.nan])
def test_a_strange_number_stays_in_its_own_sum(axis, strange):
    a = np.ones((1300, 1100), np.float32)
    a[700, 20] = strange
    np.testing.assert_array_equal(accurate_sum(a, axis), np.sum(a, axis))


def test_equal_extremes_share_the_gradient_evenly(device):
    x = leaf([[2.0, 2.0, 1.0], [0.0, 3.0, 3.0]], device)
    x.max(axis=1).sum().backward()
    np.testing.assert_array_equal(host(x.grad), [[0.5, 0.5, 0], [0, 0.5, 0.5]])
    x.grad = None
    (-x).min().backward()  # the smallest of -x is -3, twice
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
    np.testing.assert_allclose(
        g, np.flip(np.cumsum(np.flip(cotangent, axis), axis), axis), rtol=1e-13
    )


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
        np.testing.assert_allclose(
            tl.std(t, axis=axis, keepdims=True).numpy(), x.std(axis=axis, keepdims=True), rtol=1e-14
        )


TAKE_AN_AXIS = [
    "sum",
    "mean",
    "max",
    "min",
    "prod",
    "logsumexp",
    "norm",
    "cumsum",
    "softmax",
    "squeeze",
]


@pytest.mark.parametrize("name", TAKE_AN_AXIS)
@pytest.mark.parametrize("axis", [0, -1])
def test_a_single_number_has_an_axis_to_reduce_as_in_numpy(name, axis):
    x = leaf(np.array(2.0))
    y = getattr(tl, name)(x, axis=axis)
    np.testing.assert_allclose(y.numpy(), np.full(y.shape, 1.0 if name == "softmax" else 2.0))
    y.backward(np.ones(y.shape))
    assert x.grad.numpy() == (0.0 if name == "softmax" else 1.0)


def test_cumsum_without_an_axis_runs_over_all_values(rng):
    x = leaf(rng.normal(size=(2, 3)))
    y = x.cumsum()
    np.testing.assert_allclose(y.numpy(), np.cumsum(x.numpy()))
    y.backward(np.array([1.0, 0, 0, 0, 0, 1.0]))
    np.testing.assert_allclose(x.grad.numpy(), [[2, 1, 1], [1, 1, 1]])


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, bool, np.int32])
def test_products_of_integers_have_numpys_dtype(dtype):
    values = np.array([100, 120, 3]).astype(dtype)  # 36000 is no int8
    y = tl.prod(tl.Tensor(values)).numpy()
    assert y == np.prod(values) and y.dtype == np.prod(values).dtype


def test_a_product_does_not_overflow_on_the_way():
    x = tl.Tensor(np.array([1e30, 1e-30, 1e30, 1e-30], np.float32), requires_grad=True)
    y = tl.prod(x)
    np.testing.assert_allclose(y.numpy(), 1, rtol=1e-6)
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), [1e-30, 1e30, 1e-30, 1e30], rtol=1e-6)


def test_a_product_of_nothing_is_a_constant_of_the_graph():
    x = leaf(np.zeros((2, 0)))
    y = tl.prod(x, axis=1)
    y.backward(np.ones(2))
    np.testing.assert_array_equal(y.numpy(), [1, 1])
    assert x.grad.shape == (2, 0)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64])
def test_logsumexp_of_integers_is_that_of_floats(dtype):
    values = np.array([100, -100, 3]).astype(dtype)  # -100 - 100 is no int8
    y = tl.logsumexp(tl.Tensor(values))
    np.testing.assert_allclose(y.numpy(), tl.logsumexp(tl.Tensor(values.astype(float))).numpy())


@pytest.mark.parametrize("n", [2, 3, 768])
def test_deviations_of_float32_survive_an_offset(n, rng):
    x = (rng.normal(size=n) + 1e6).astype(np.float32)  # the mean itself has steps of 0.06
    np.testing.assert_allclose(tl.std(tl.Tensor(x)).numpy(), np.std(x.astype(float)), rtol=1e-6)
    np.testing.assert_allclose(tl.var(tl.Tensor(x)).numpy(), np.var(x.astype(float)), rtol=1e-6)


def test_a_constant_has_no_deviation_and_no_slope():
    x = tl.Tensor(
        np.full(7, 0.1, np.float32), requires_grad=True
    )  # a rounded mean differs from 0.1
    y = tl.std(x)
    y.backward()
    assert y.numpy() == 0 and not np.any(x.grad.numpy())


def test_lengths_at_the_ends_of_float32_have_finite_slopes():
    largest = np.finfo(np.float32).max
    x = tl.Tensor(np.array([largest], np.float32), requires_grad=True)
    tl.norm(x).backward(np.float32(5))  # 5 x 3.4e38 on the way would be infinite
    np.testing.assert_allclose(x.grad.numpy(), [5])
    y = tl.std(tl.Tensor(np.array([largest, -largest], np.float32)))
    np.testing.assert_allclose(y.numpy(), largest, rtol=1e-6)


def test_a_mean_of_what_a_mask_shows(rng):
    values = rng.normal(size=(3, 4))
    mask = np.array([[True, False, True, True], [False] * 4, [True] * 4])
    x = leaf(np.where(mask, values, np.inf))
    y = mean_where(x, mask, axis=1)
    np.testing.assert_allclose(y.numpy(), [values[0, [0, 2, 3]].mean(), 0, values[2].mean()])
    y.backward(np.ones(3))
    np.testing.assert_allclose(x.grad.numpy(), mask / np.array([[3], [1], [4]]))


def test_mean_squares_of_float16_may_pass_its_range_on_the_way():
    x = tl.Tensor(np.array([300, 0, 0, 0], np.float16), requires_grad=True)
    y = mean_square(x)
    y.backward()
    np.testing.assert_allclose(y.numpy(), 22500, rtol=1e-3)
    np.testing.assert_array_equal(x.grad.numpy(), [150, 0, 0, 0])


@pytest.mark.parametrize("name", ["sum", "mean"])
def test_several_short_axes_are_a_long_sum_too(name, rng):
    x = (rng.random((100, 100, 100, 3)) + 0.1).astype(np.float32)  # a million rows
    y = getattr(tl, name)(tl.Tensor(x), axis=(0, 1, 2)).numpy()
    exact = getattr(np, name)(x.astype(np.float64), axis=(0, 1, 2))
    np.testing.assert_allclose(y, exact, rtol=1e-6)


@pytest.mark.parametrize("dtype, digits", [("float32", 3e-7), ("float64", 1e-15)])
@pytest.mark.parametrize("shape, axis", [((300, 7), 1), ((300, 2, 64), (1, 2)), ((3, 128), -1)])
def test_sums_of_short_rows_keep_every_digit_and_inf_and_nan(shape, axis, dtype, digits):
    # These are products with ones: nothing is multiplied by 0, so inf stays in its row.
    x = (np.random.default_rng(0).random(shape) + 0.5).astype(dtype)
    y = tl.sum(tl.Tensor(x), axis=axis).data
    exact = x.astype(np.longdouble).sum(axis=axis)
    assert y.dtype == dtype and y.shape == exact.shape
    np.testing.assert_allclose(y, exact.astype(float), rtol=digits)
    x[0].flat[0], x[1].flat[0] = np.inf, np.nan
    y = tl.sum(tl.Tensor(x), axis=axis).data
    assert y[0] == np.inf and np.isnan(y[1]) and np.isfinite(y[2:]).all()


@pytest.mark.parametrize("odd", [0.0, 1e-30, 1e25, np.inf, np.nan])
def test_one_row_out_of_the_ordinary_is_seen_among_others(odd):
    """scale_of_squares() takes a short way where all rows are ordinary, and only there."""
    x = np.ones((3, 4), np.float32)
    assert scale_of_squares(x, -1) == 1.0
    x[1] = odd
    found = tl.norm(tl.Tensor(x), axis=-1).data
    expected = np.linalg.norm(x.astype(float), axis=-1)
    np.testing.assert_allclose(found, expected, rtol=3e-7)


@pytest.mark.parametrize("axis", [-1, 0, None])
@pytest.mark.parametrize("size", [1e-42, 1e-25, 1.0, 1e25, 3e37])
def test_lengths_and_their_gradients_are_right_for_numbers_of_any_size(axis, size, rng):
    values = (rng.normal(size=(4, 5)) * size).astype(np.float32)
    values[2] = 0
    x = tl.Tensor(values, requires_grad=True)
    y = tl.norm(x, axis)
    wide = values.astype(float)
    lengths = np.sqrt(np.sum(wide**2, axis, keepdims=True))
    np.testing.assert_allclose(y.data, np.squeeze(lengths, axis), rtol=1e-6, atol=3e-45)
    y.sum().backward()
    expected = wide / np.where(lengths == 0, 1, lengths)
    # numbers of 1e-42 have three digits
    np.testing.assert_allclose(x.grad.data, expected, atol=1e-3 if size < 1e-40 else 1e-6)


def test_second_derivatives_of_a_length(rng):
    x = leaf(rng.normal(size=(2, 3)))
    y = tl.norm(x, -1)
    (g,) = tl.grad(y.sum(), [x], create_graph=True)
    v = rng.normal(size=(2, 3))
    (h,) = tl.grad((g * v).sum(), [x])
    # H = (I - n n^T) / |x|, n = x / |x|
    n = x.data / y.data[:, None]
    expected = (v - n * np.sum(n * v, -1, keepdims=True)) / y.data[:, None]
    np.testing.assert_allclose(h.data, expected, rtol=1e-12)
