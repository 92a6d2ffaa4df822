"""Cross-entropy, softmax and log-softmax by kernels are those of NumPy."""

import numpy as np
import pytest

import tinylm as tl
from tests import cuda_on_cpu
from tests.autograd.device.twins import check, run

pytestmark = pytest.mark.skipif(not cuda_on_cpu.available(), reason="needs g++")
LAUNCHES = dict(row_losses=1, reduce_losses=1, losses_backward=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.2, "z_loss": 0.1}])
def test_cross_entropy(dtype, reduction, options, rng):
    logits = (5 * rng.normal(size=(2, 9, 70))).astype(dtype)
    logits[1, 1] += 1e4  # a row that overflows without its maximum
    targets = rng.integers(0, 70, (2, 9))
    targets[0, 3] = targets[1, 8] = -100
    logits[0, 3] = np.nan  # of a row that does not count
    launches = LAUNCHES | dict(reduce_losses=int(reduction != "none"))
    z = {"z_loss": 0.0} if dtype == np.float32 else {}  # 1e4 squared has no seven digits left
    check(tl.cross_entropy, [logits, targets], launches, reduction=reduction, **options | z)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_without_targets_the_loss_is_0(reduction, rng):
    logits, targets = rng.normal(size=(3, 7)), np.full(3, -100)
    check(tl.cross_entropy, [logits, targets], LAUNCHES, reduction=reduction)


def test_what_is_not_finite_shows(rng):
    logits = rng.normal(size=(4, 40))
    logits[0, 3], logits[1, 3], logits[2] = np.nan, np.inf, -np.inf
    for device in "cpu", "strict":
        out, _ = run(tl.cross_entropy, [logits, np.arange(4)], {"reduction": "none"}, device)
        assert not np.isfinite(out[:3]).any() and np.isfinite(out[3])


@pytest.mark.parametrize("wrong", [-1, 40, 10**12])
def test_a_target_outside_of_the_vocabulary_reads_no_other_row(wrong, rng):
    logits, targets = rng.normal(size=(4, 40)), np.array([1, wrong, 2, 3])
    out, grads = run(tl.cross_entropy, [logits, targets], {"reduction": "none"}, "strict")
    assert np.isnan(out[1]) and np.isfinite(out[[0, 2, 3]]).all()


ROWS = dict(row_softmax=1, row_softmax_backward=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("operation", [tl.softmax, tl.log_softmax])
@pytest.mark.parametrize("shape", [(70,), (1, 1), (2, 3, 5)])
def test_softmax_and_its_logarithm(operation, shape, dtype, rng):
    x = (5 * rng.normal(size=shape)).astype(dtype)
    check(operation, [x], ROWS)
    x.reshape(-1, shape[-1])[-1] += 1e4  # a row that overflows without its maximum
    x[..., 0] -= 1e4
    check(operation, [x], ROWS, axis=len(shape) - 1)


@pytest.mark.parametrize("operation", [tl.softmax, tl.log_softmax])
def test_softmax_along_another_axis_and_of_one_number_is_that_of_the_twin(operation, rng):
    none = dict.fromkeys(ROWS, 0)
    check(operation, [rng.normal(size=(4, 5))], none, axis=0)
    check(operation, [rng.normal(size=())], none)


def test_softmax_gives_nothing_to_minus_infinity_and_shows_what_is_not_finite(rng):
    x = rng.normal(size=(4, 9))
    x[0, 3], x[1, 3], x[2], x[3, 3] = -np.inf, np.inf, -np.inf, np.nan
    for operation in tl.softmax, tl.log_softmax:
        want, _ = run(operation, [x], {}, "cpu")
        found, _ = run(operation, [x], {}, "strict")
        np.testing.assert_allclose(found, want, rtol=1e-12)  # nan where that is
    assert want[0, 3] == -np.inf and np.isnan(want[1:]).any(axis=1).all()
