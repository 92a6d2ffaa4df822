"""Activations by kernels are those of NumPy."""

import numpy as np
import pytest

import tinylm as tl
from tests import cuda_on_cpu
from tests.autograd.device.twins import check

pytestmark = pytest.mark.skipif(not cuda_on_cpu.available(), reason="needs g++")
BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@BOTH
@pytest.mark.parametrize("operation", [tl.gelu, tl.gelu_tanh, tl.silu])
def test_activations(operation, dtype, rng):
    x = (4 * rng.normal(size=(7, 90))).astype(dtype)
    x[0, :8] = 0, -0.0, 30, -30, 1e4, -1e4, 1e-30, np.finfo(dtype).max
    check(operation, [x], dict(activation=1))
    check(operation, [x[::2, ::3]], dict(activation=1))  # rows and columns that lie apart


@BOTH
@pytest.mark.parametrize("operation", [tl.swiglu, tl.geglu])
def test_gated_activations(operation, dtype, rng):
    gate, up = (3 * rng.normal(size=(2, 5, 70))).astype(dtype)
    check(operation, [gate, up], dict(gated=1, gated_backward=1))


@pytest.mark.parametrize("operation", [tl.gelu, tl.gelu_tanh, tl.silu])
def test_nan_and_infinity_are_what_they_are_without_kernels(operation):
    check(operation, [np.array([np.nan, np.inf, -np.inf, 1.0])], dict(activation=1))
