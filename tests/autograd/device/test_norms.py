"""Layer norm and RMS norm by kernels are those of NumPy."""

import numpy as np
import pytest

import tinylm as tl
from tests import cuda_on_cpu
from tests.autograd.device.twins import check, run

pytestmark = pytest.mark.skipif(not cuda_on_cpu.available(), reason="needs g++")
BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@BOTH
@pytest.mark.parametrize("shape", [(3, 2, 40), (5, 1), (2, 300)])
def test_layer_norm(shape, dtype, rng):
    x, gain, bias = (rng.normal(size=s).astype(dtype) for s in (shape, shape[-1:], shape[-1:]))
    launches = dict(norm_forward=1, norm_backward=1, add_columns=2)
    check(tl.layer_norm, [x, gain, bias], launches)
    check(tl.layer_norm, [x, gain], launches | dict(add_columns=1), eps=0.5)


@BOTH
@pytest.mark.parametrize("shape", [(3, 2, 40), (2, 300)])
def test_rms_norm(shape, dtype, rng):
    x, gain = rng.normal(size=shape).astype(dtype), rng.normal(size=shape[-1:]).astype(dtype)
    check(tl.rms_norm, [x, gain], dict(norm_forward=1, norm_backward=1, add_columns=1))


def test_rows_far_from_zero_keep_their_digits(rng):
    x = (1000 + rng.normal(size=(4, 64))).astype(np.float32)
    x[3] = 1000
    gain = np.ones(64, np.float32)
    out, _ = run(tl.layer_norm, [x, gain], {}, "strict")
    wide = x.astype(np.float64)
    centered = wide - wide.mean(axis=1, keepdims=True)
    want = centered / np.sqrt((centered**2).mean(axis=1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(out, want, atol=1e-5)
    assert not out[3].any()  # a row of one value becomes exactly 0


@pytest.mark.parametrize("operation", [tl.layer_norm, tl.rms_norm])
def test_squares_that_overflow(operation, rng):
    x = rng.normal(size=(4, 50)).astype(np.float32)
    x[1] *= 1e25
    x[2] *= 1e-25
    check(operation, [x, np.ones(50, np.float32)], dict(norm_forward=1))


@pytest.mark.parametrize("operation", [tl.layer_norm, tl.rms_norm])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_shows_in_its_row_alone(operation, bad, rng):
    x = rng.normal(size=(3, 50))
    x[1, 7] = bad
    for device in "cpu", "strict":
        out, grads = run(operation, [x, np.ones(50)], {}, device)
        assert np.isnan(out[1]).any() and np.isfinite(out[[0, 2]]).all()
        assert np.isnan(grads[0][1]).any() and np.isfinite(grads[0][[0, 2]]).all()
