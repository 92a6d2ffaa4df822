"""Our own error function against the C library's."""

import math

import numpy as np
import pytest

from tests.numeric import host, plain
from tinylm.autograd.primitives.erf import erf


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


def test_float32_is_within_4e_7(device):
    x = np.linspace(-5, 5, 10_001).astype(np.float32)
    y = erf(plain(x, device))
    assert y.dtype == np.float32
    assert np.max(np.abs(host(y) - [math.erf(float(v)) for v in x])) <= 4e-7


def test_the_ends_are_exact_and_quiet(device):
    x = plain([-np.inf, -1e308, -30.0, -0.0, 0.0, 30.0, 1e308, np.inf], device)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y = host(erf(x))
    np.testing.assert_array_equal(y, [-1, -1, -1, 0, 0, 1, 1, 1])
    assert np.signbit(y[3])


def test_erf_is_odd_and_monotone():
    x = np.linspace(0, 6, 5001)
    np.testing.assert_array_equal(erf(-x), -erf(x))
    assert (np.diff(erf(x)) >= -1.2e-16).all()  # never falls by more than the last bit


@pytest.mark.parametrize("x", [0.5, 3, -2.0])
def test_a_python_number_gives_a_python_number(x):
    assert erf(x) == math.erf(x) and isinstance(erf(x), float)


def test_nan_stays_nan():
    assert np.isnan(erf(np.array([np.nan]))).all()
