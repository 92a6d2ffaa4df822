"""Our own error function against the C library's."""

import math

import numpy as np
import pytest

from tests.numeric import host, plain
from tinylm.autograd.primitives.erf import erf, exact_erf, normal_cdf


def test_erf_is_within_3e_16_of_the_c_library(device):
    # 40,001 points over all three ranges of the approximation, their borders at 0.46875 and 4 among
    # them.
    x = np.concatenate(
        [
            np.linspace(-6, 6, 40_001),
            [0.46875, -0.46875, 4.0, -4.0, np.nextafter(0.46875, 1), np.nextafter(4, 5)],
        ]
    )
    expected = np.array([math.erf(v) for v in x])
    # as its docstring states: 1.5 units in the last place
    assert np.max(np.abs(host(erf(plain(x, device))) - expected)) <= 3e-16


def test_erf_keeps_its_relative_accuracy_near_zero():
    x = 10.0 ** -np.arange(1.0, 300, 7)
    np.testing.assert_allclose(erf(x), [math.erf(v) for v in x], rtol=1e-15)


def test_float32_is_within_3e_7(device):
    # Densely: 400,001 points, and every power of two on the way to zero.
    x = np.concatenate([np.linspace(-5, 5, 400_001), 2.0 ** -np.arange(1, 126)]).astype(np.float32)
    y = host(erf(plain(x, device)))
    assert y.dtype == np.float32
    exact = np.array([math.erf(float(v)) for v in x])
    assert np.max(np.abs(y - exact)) <= 3e-7
    # near zero it keeps its digits too, and it never leaves [-1, 1] nor misses its ends
    assert np.max(np.abs(y / np.where(exact == 0, 1, exact) - 1)[exact != 0]) <= 4e-7
    assert np.max(np.abs(y)) == 1 and np.all(np.abs(y[np.abs(x) > 4.2]) == 1)


def test_the_exact_twin_in_float32_agrees(device):
    x = np.linspace(-6, 6, 20_001).astype(np.float32)
    exact = host(exact_erf(plain(x, device)))
    assert exact.dtype == np.float32
    assert np.max(np.abs(exact - [math.erf(float(v)) for v in x])) <= 4e-7
    assert np.max(np.abs(host(erf(plain(x, device))) - exact)) <= 5e-7


def test_float64_takes_no_part_in_the_approximation():
    x = np.linspace(-6, 6, 20_001)
    np.testing.assert_array_equal(erf(x), exact_erf(x))


@pytest.mark.parametrize("dtype, error", [("float32", 3e-7), ("float64", 3e-16)])
def test_the_normal_distribution_function(dtype, error):
    x = np.linspace(-12, 12, 100_001).astype(dtype)
    with np.errstate(over="ignore"):
        y = normal_cdf(x)
    exact = np.array([math.erfc(-float(v) / math.sqrt(2)) / 2 for v in x])
    assert y.dtype == dtype and np.max(np.abs(y - exact)) <= error
    # x Phi(x) is GELU: its error must not grow with x, on either side
    assert np.max(np.abs(x * y - x * exact) / np.maximum(1, np.abs(x))) <= error


@pytest.mark.parametrize("dtype, large", [("float64", 1e308), ("float32", 3e38)])
def test_the_ends_are_exact_and_quiet(device, dtype, large):
    x = np.array([-np.inf, -large, -30.0, -0.0, 0.0, 30.0, large, np.inf], dtype)
    x = plain(x, device)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y = host(erf(x))
    np.testing.assert_array_equal(y, [-1, -1, -1, 0, 0, 1, 1, 1])
    assert np.signbit(y[3])


@pytest.mark.parametrize("dtype, bit", [("float64", 1.2e-16), ("float32", 1.2e-7)])
def test_erf_is_odd_and_monotone(dtype, bit):
    x = np.linspace(0, 6, 5001).astype(dtype)
    np.testing.assert_array_equal(erf(-x), -erf(x))
    assert (np.diff(erf(x)) >= -bit).all()  # never falls by more than the last bit


@pytest.mark.parametrize("x", [0.5, 3, -2.0])
def test_a_python_number_gives_a_python_number(x):
    assert erf(x) == math.erf(x) and isinstance(erf(x), float)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_nan_stays_nan(dtype):
    assert np.isnan(erf(np.array([np.nan], dtype))).all()
