"""Elementwise primitives against NumPy, with every broadcast, and their slopes against differences."""

import math
import warnings

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinylm as tl
from tests.numeric import differences, gradients, host, leaf, plain
from tinylm.errors import DtypeError, ShapeError

DEVICES = ["cpu", "strict"]  # hypothesis does not take function-scoped fixtures
SHAPES = hnp.mutually_broadcastable_shapes(num_shapes=2, min_dims=0, max_dims=3, max_side=3)

# name: (operation, NumPy's, interval that keeps away from kinks and poles)
UNARY = {
    "neg": (lambda a: -a, np.negative, (-2, 2)),
    "exp": (tl.exp, np.exp, (-2, 2)),
    "log": (tl.log, np.log, (0.3, 3)),
    "log1p": (tl.log1p, np.log1p, (-0.7, 3)),
    "expm1": (tl.expm1, np.expm1, (-2, 2)),
    "sqrt": (tl.sqrt, np.sqrt, (0.3, 3)),
    "tanh": (tl.tanh, np.tanh, (-2, 2)),
    "sin": (tl.sin, np.sin, (-2, 2)),
    "cos": (tl.cos, np.cos, (-2, 2)),
    "sigmoid": (tl.sigmoid, lambda a: 1 / (1 + np.exp(-a)), (-2, 2)),
    "erf": (tl.erf, np.vectorize(math.erf, otypes=[float]), (-2, 2)),
    "abs": (tl.abs, np.abs, (0.3, 3)),
    "relu": (tl.relu, lambda a: np.maximum(a, 0), (0.3, 3)),
    "clip": (lambda a: tl.clip(a, 0.0, 5.0), lambda a: a, (0.3, 3)),
    "square": (lambda a: a**2, np.square, (-2, 2)),
    "cube": (lambda a: a**3, lambda a: a**3, (-2, 2)),
    "root": (lambda a: a**0.5, np.sqrt, (0.3, 3)),
    "two to the": (lambda a: 2.0**a, np.exp2, (-2, 2)),
}
BINARY = {
    "add": (tl.add, np.add),
    "sub": (tl.sub, np.subtract),
    "mul": (tl.mul, np.multiply),
    "div": (tl.div, np.divide),
    "pow": (tl.power, np.power),
    "maximum": (tl.maximum, np.maximum),
    "minimum": (tl.minimum, np.minimum),
    "where": (lambda a, b: tl.where(a.data > b.data, a, b), np.maximum),
}


def check(operation, numpy_operation, arrays, device):
    y, grads = gradients(operation, arrays, device)
    expected = np.asarray(numpy_operation(*arrays))
    assert y.shape == expected.shape
    np.testing.assert_allclose(
        y, expected, rtol=1e-15, atol=1e-15 * (1 + np.max(np.abs(expected), initial=0))
    )
    cotangent = np.random.default_rng(0).normal(size=y.shape)  # the one that gradients() draws
    numeric = differences(
        lambda *values: float(np.sum(cotangent * numpy_operation(*values))), arrays
    )
    for got, wanted in zip(grads, numeric):
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", UNARY)
@given(
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), seed=st.integers(0, 99)
)
def test_functions_of_one_array_are_numpys_with_the_right_slope(name, device, shape, seed):
    operation, numpy_operation, (low, high) = UNARY[name]
    check(
        operation, numpy_operation, [np.random.default_rng(seed).uniform(low, high, shape)], device
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", BINARY)
@given(shapes=SHAPES, seed=st.integers(0, 99))
def test_functions_of_two_arrays_broadcast_like_numpys_and_sum_back(name, device, shapes, seed):
    draw = np.random.default_rng(seed)
    arrays = [draw.uniform(0.5, 2, shape) for shape in shapes.input_shapes]
    # sometimes larger, sometimes not, never within a step
    arrays[1] += 2.0 * draw.integers(0, 2, arrays[1].shape)
    check(*BINARY[name], arrays, device)


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: 3 - x,
        lambda x: 3 * x,
        lambda x: 3 / x,
        lambda x: x / 3,
        lambda x: 3**x,
        lambda x: x**3,
        lambda x: x - 3,
        lambda x: tl.maximum(3, x),
        lambda x: tl.minimum(x, 1.5),
    ],
)
def test_python_numbers_stand_on_either_side(device, operation):
    values = np.array([0.5, 2.0])
    y, grads = gradients(operation, [values], device)
    numpy_side = host(operation(tl.Tensor(values, device=device)))
    np.testing.assert_array_equal(y, numpy_side)
    cotangent = np.random.default_rng(0).normal(size=2)
    wanted = differences(
        lambda v: float(np.sum(cotangent * operation(tl.Tensor(v)).numpy())), [values]
    )[0]
    np.testing.assert_allclose(grads[0], wanted, rtol=1e-7, atol=1e-8)


def test_ties_share_the_gradient_in_halves(device):
    for operation in (tl.maximum, tl.minimum):
        _, (a, b) = gradients(
            lambda a, b, op=operation: op(a, b) * 1.0, [np.ones(1), np.ones(1)], device
        )
        np.testing.assert_array_equal(a, b)
        assert a[0] + b[0] == pytest.approx(np.random.default_rng(0).normal(size=1)[0])


def test_conventions_at_kinks_and_poles(device):
    def slope(operation, at):
        x = leaf([at], device)
        with np.errstate(all="ignore"):
            operation(x).sum().backward()
        return host(x.grad)[0]

    assert slope(tl.abs, 0.0) == 0.0
    assert slope(tl.relu, 0.0) == 0.0
    assert slope(lambda a: tl.clip(a, 0.0, 1.0), 1.0) == 1.0  # borders count as inside
    assert slope(lambda a: tl.clip(a, 0.0, 1.0), 1.5) == 0.0
    assert slope(lambda a: a**0, 0.0) == 0.0
    assert slope(lambda a: a**1, 0.0) == 1.0
    assert slope(lambda a: 0.0**a, 2.0) == 0.0  # 0**b = 0 for all b > 0
    assert slope(tl.sqrt, 0.0) == np.inf


def test_sigmoid_and_tanh_saturate_without_warnings(device):
    x = tl.Tensor(np.array([-1e4, -745.0, 0.0, 745.0, 1e4]), device=device)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        np.testing.assert_allclose(host(tl.sigmoid(x)), [0, 0, 0.5, 1, 1], atol=1e-300)
        np.testing.assert_array_equal(host(tl.tanh(x)), [-1, -1, 0, 1, 1])


def test_where_sends_each_cotangent_to_the_side_that_was_taken(device):
    mask = plain([True, False, True], device)
    _, (a, b) = gradients(lambda a, b: tl.where(mask, a, b), [np.zeros(3), np.zeros(1)], device)
    cotangent = np.random.default_rng(0).normal(size=3)
    np.testing.assert_allclose(a, cotangent * [1, 0, 1])
    np.testing.assert_allclose(b, cotangent[1:2])  # (1,) was broadcast to (3,)


def test_astype_converts_there_and_the_gradient_back(device):
    x = leaf([1.0, 2.0], device, np.float32)
    y = x.astype(np.float64)
    assert y.dtype == np.float64
    (y * y).sum().backward()
    assert x.grad.dtype == np.float32
    np.testing.assert_array_equal(host(x.grad), [2.0, 4.0])


def test_shapes_that_do_not_broadcast_are_named_with_the_operation():
    with pytest.raises(ShapeError, match=r"add: .*\(arguments of shape \(2, 3\), \(4,\)\)"):
        tl.Tensor(np.ones((2, 3))) + np.ones(4)
    with pytest.raises(DtypeError, match="mul: cannot use a str"):
        tl.Tensor([1.0]) * "two"


def test_comparisons_give_plain_masks(device):
    x = leaf([1.0, 2.0], device)
    for mask, expected in (
        (x > 1.5, [False, True]),
        (x <= x, [True, True]),
        (x == 1.0, [True, False]),
        (x != 1.0, [False, True]),
    ):
        assert not isinstance(mask, tl.Tensor)
        np.testing.assert_array_equal(host(mask), expected)


def test_methods_and_functions_are_the_same(device):
    x = tl.Tensor(np.array([0.3, 0.7]), device=device)
    for name in (
        "exp",
        "log",
        "log1p",
        "expm1",
        "sqrt",
        "tanh",
        "sigmoid",
        "erf",
        "sin",
        "cos",
        "abs",
    ):
        np.testing.assert_array_equal(host(getattr(x, name)()), host(getattr(tl, name)(x)))
    np.testing.assert_array_equal(host(abs(-x)), host(x))
    np.testing.assert_array_equal(host(x.clip(0.5, 0.6)), [0.5, 0.6])


def test_devices_never_mix_silently():
    with pytest.raises(TypeError):
        tl.Tensor(np.ones(2), device="strict") + np.ones(2)
    with pytest.raises(TypeError):
        tl.Tensor(np.ones(2)) * tl.Tensor(np.ones(2), device="strict")


def test_relu_keeps_nan():
    got = tl.relu(tl.Tensor([np.nan, -1.0, 2.0])).numpy()
    assert np.array_equal(got, [np.nan, 0.0, 2.0], equal_nan=True)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, bool])
@pytest.mark.parametrize("name", ["sigmoid", "softplus", "erf"])
def test_functions_of_integers_are_those_of_the_same_floats(name, dtype):
    values = np.array([-128, 3, 0, 100]).astype(dtype)  # |-128| is no int8, exp(100) no float16
    function = getattr(tl, name)
    expected = function(tl.Tensor(values.astype(np.float64)))
    np.testing.assert_array_equal(function(tl.Tensor(values)).numpy(), expected.numpy())


REAL = ["sigmoid", "softplus", "erf", "relu", "floor", "ceil", "var", "std", "norm"]


@pytest.mark.parametrize("name", REAL)
def test_what_complex_numbers_do_not_have_is_refused(name):
    with pytest.raises(DtypeError, match=name):
        getattr(tl, name)(tl.Tensor(np.array([1 + 2j, 0.3 - 1j])))


def test_an_infinite_cotangent_stays_on_the_side_that_was_taken():
    a, b = leaf(np.array([1.0, 3.0, 2.0])), leaf(np.array([2.0, 1.0, 2.0]))
    tl.maximum(a, b).backward(np.full(3, np.inf))  # 0 x inf would be nan
    np.testing.assert_array_equal(a.grad.numpy(), [0, np.inf, np.inf])
    np.testing.assert_array_equal(b.grad.numpy(), [np.inf, 0, np.inf])
    a.grad = b.grad = None
    tl.minimum(a, b).backward(np.full(3, np.inf))
    np.testing.assert_array_equal(a.grad.numpy(), [np.inf, 0, np.inf])
    a.grad = None
    tl.max(a).backward(np.inf)
    np.testing.assert_array_equal(a.grad.numpy(), [0, np.inf, 0])
    for exponent in (0, np.zeros(3)):  # a constant, as in torch
        a.grad = None
        tl.power(a, exponent).backward(np.full(3, np.inf))
        np.testing.assert_array_equal(a.grad.numpy(), [0, 0, 0])


def test_the_slope_of_a_quotient_does_not_overflow_on_the_way():
    a, b = (tl.Tensor(np.full(1, 1e20, np.float32), requires_grad=True) for _ in range(2))
    (a / b * 1e20).backward(np.ones(1, np.float32))  # -g a / b^2 with g = 1e20
    np.testing.assert_allclose(b.grad.numpy(), [-1.0], rtol=1e-6)
    a, b = (tl.Tensor(np.full(1, x, np.float32), requires_grad=True) for x in (1e38, 1e18))
    (a / b).backward(np.full(1, 1e19, np.float32))  # g a / b = 1e39, but g a / b^2 = 1e21
    np.testing.assert_allclose(b.grad.numpy(), [-1e21], rtol=1e-6)


def test_rounding_a_bool_is_an_error_of_ours():
    with pytest.raises(DtypeError, match="round"):
        tl.round(tl.Tensor(np.array([True])), 1)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_sigmoid_is_exact_to_rounding_from_end_to_end(dtype):
    info = np.finfo(dtype)
    last = -np.log(float(info.tiny))  # sigmoid(-last) is the least normal number
    x = np.linspace(-last, last, 2001).astype(dtype)
    exact = 1 / (1 + np.exp(-x.astype(np.float64)))
    # In float16 x itself is coarse, but sigmoid is of the rounded x: a few roundings of the result.
    np.testing.assert_allclose(tl.sigmoid(x).numpy(), exact, rtol=4 * info.eps)
    ends = np.array([-np.inf, -3 * last, 0, 3 * last, np.inf, np.nan], dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = tl.sigmoid(ends).numpy()
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, [0, 0, 0.5, 1, 1, np.nan])


# relu, sigmoid and softplus are written for speed: what they were before is the twin.


@pytest.mark.parametrize("n", [7, 10_000])  # below and above the size at which bits choose
def test_relu_keeps_nan_and_lets_no_infinite_cotangent_through_below_zero(n):
    x = np.resize(np.array([-1.0, 2.0, np.nan, 0.0, -np.inf, np.inf, -0.0], np.float32), n)
    a = tl.Tensor(x, requires_grad=True)
    y = tl.relu(a)
    np.testing.assert_array_equal(y.data, np.where(~(x <= 0), x, 0))
    g = np.full(n, np.inf, np.float32)
    y.backward(g)
    # inf where a > 0 or nan, and 0, not inf * 0 = nan, elsewhere
    np.testing.assert_array_equal(a.grad.data, np.where(~(x <= 0), g, 0))


def test_relu_of_integers_is_float64_and_of_halves_is_half():
    assert tl.relu(np.array([-1, 2])).dtype == np.float64
    assert tl.relu(tl.Tensor(np.array([-1.0, 2.0], np.float16))).dtype == np.float16


@pytest.mark.parametrize("dtype, bits", [("float32", 3e-7), ("float64", 5e-16)])
def test_sigmoid_and_softplus_keep_their_digits_at_both_ends(dtype, bits):
    x = np.linspace(-80, 80, 20_001).astype(dtype)
    e = np.exp(-np.abs(x.astype(np.longdouble)))
    exact = np.where(x >= 0, 1, e) / (1 + e)
    np.testing.assert_allclose(tl.sigmoid(x).data, exact.astype(float), rtol=bits * 30)
    exact = np.maximum(x, 0) + np.log1p(e)
    np.testing.assert_allclose(tl.softplus(x).data, exact.astype(float), rtol=bits * 30)
    middle = np.abs(x) < 1  # e^x of a rounded x adds |x| roundings elsewhere
    np.testing.assert_allclose(
        tl.softplus(x).data[middle], exact.astype(float)[middle], rtol=bits
    )  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_sigmoid_and_softplus_of_inf_and_nan(dtype):
    x = np.array([-np.inf, np.inf, np.nan, 0.0], dtype)
    np.testing.assert_array_equal(tl.sigmoid(x).data, np.array([0, 1, np.nan, 0.5], dtype))
    found = tl.softplus(x).data
    assert found.dtype == dtype
    np.testing.assert_array_equal(found[:3], np.array([0, np.inf, np.nan], dtype))
    assert abs(float(found[3]) - np.log(2)) < 1e-3


def test_the_derivative_of_sigmoid_is_the_same_whether_it_is_recorded_or_not():
    a = tl.Tensor(np.linspace(-5, 5, 101), requires_grad=True)
    g = np.cos(np.arange(101.0))
    plainly = tl.grad(tl.sigmoid(a), [a], g)[0].data
    recorded = tl.grad(tl.sigmoid(a), [a], g, create_graph=True)[0].data
    np.testing.assert_allclose(plainly, recorded, rtol=1e-15, atol=1e-17)
    s = 1 / (1 + np.exp(-a.data))
    np.testing.assert_allclose(plainly, g * s * (1 - s), rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_log1p_and_expm1_keep_the_digits_of_small_numbers(dtype):
    # log(1 + a) = a - a^2/2 + ..., and as much less than a is e^a - 1 more: below the square root
    # of the resolution both are a to the last digit, where log(1 + a) computed in two steps is 0
    x = np.array([1e-3, 1e-2, -1e-2], dtype) * dtype(np.finfo(dtype).eps)
    for function in (tl.log1p, tl.expm1):
        y, (slope,) = gradients(function, [x], "cpu", dtype)
        np.testing.assert_array_equal(y, x)
        cotangent = np.random.default_rng(0).normal(size=3).astype(dtype)
        np.testing.assert_array_equal(slope, cotangent)
    assert not np.log(1 + x).any()


def test_the_slope_of_expm1_keeps_its_digits_where_the_value_is_almost_minus_one():
    a = tl.Tensor(np.array([-40.0]), requires_grad=True)  # here expm1(a) + 1 rounds to 0
    tl.expm1(a).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), math.exp(-40), rtol=1e-14)
