"""AdamW, gradient descent and the gradient's norm by kernels, against optim/ on NumPy arrays."""

import math

import numpy as np
import pytest

from tests import cuda_on_cpu
from tests.device_counter import counted
from tests.strict import strict_module, to_numpy
from tinylm.autograd import Tensor
from tinylm.autograd.device import updates
from tinylm.errors import TrainingError
from tinylm.optim import SGD, AdamW, Momentum

pytestmark = pytest.mark.skipif(not cuda_on_cpu.available(), reason="needs g++")
RTOL = {np.float32: 2e-6, np.float64: 1e-14}  # some roundings of 6e-8 and 1e-16


def pair(dtype, rng, rule=lambda leaves: AdamW(leaves, weight_decay=0.3)):
    """The same optimizer on the CPU and on the strict device: two matrices, of which one does not
    decay, and a vector.
    """
    arrays = [rng.normal(size=shape).astype(dtype) for shape in ((7, 50), (4, 9), (300,))]
    found = []
    for device in "cpu", "strict":
        leaves = [Tensor(a.copy(), requires_grad=True, device=device) for a in arrays]
        leaves[1].decays = False
        found.append(rule(leaves))
    return found


def give(optimizers, values):
    ours, theirs = optimizers
    ours.flat.grad[...] = values
    theirs.flat.grad[...] = strict_module.asarray(ours.flat.grad)


def agree(ours, theirs, dtype):
    for a, b in ((ours.flat.data, theirs.flat.data), (ours.m, theirs.m), (ours.v, theirs.v)):
        same(a, b, dtype)


def same(a, b, dtype):
    np.testing.assert_allclose(to_numpy(b), a, rtol=RTOL[dtype], atol=RTOL[dtype])


def set_gradients(optimizer):
    for p, slot in zip(optimizer.flat.tensors, optimizer.flat.slots):
        p._grad = Tensor(slot)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", ["one", "all"])
def test_adamw_by_a_kernel_is_adamw(dtype, threads, rng, monkeypatch):
    if threads == "all":
        monkeypatch.setitem(cuda_on_cpu._threads, "all", True)
    ours, theirs = both = pair(dtype, rng)
    for _ in range(3):
        for optimizer in both:
            set_gradients(optimizer)
        give(both, rng.normal(size=len(ours.flat)))
        ours.step(0.02, 5, 600, scale=0.7)  # a worker's part, of all three parameters
        with counted() as found:
            theirs.update(0.02, 5, 600, 0.7)
        assert found.calls["adamw"] == 1 and not found.waits
        agree(ours, theirs, dtype)


@pytest.mark.parametrize("clip", [0.0, 0.5, 1e6])
def test_a_step_of_loss_norm_clipping_and_update_waits_once(clip, rng):
    ours, theirs = both = pair(np.float64, rng)
    for optimizer in both:
        set_gradients(optimizer)
    give(both, rng.normal(size=len(ours.flat)))
    norm = 0.25 * np.linalg.norm(ours.flat.grad)
    scale = min(1, clip / norm) if clip else 1
    ours.step(0.02, scale=0.25 * scale)
    with counted() as found:
        loss, length, updated = theirs.step_if_finite(
            0.02, strict_module.asarray(np.array(8.0)), 0.25, clip
        )
    assert loss == 2 and length == pytest.approx(norm, rel=1e-14) and updated
    assert found.calls.total() == 3 and found.waits == dict(to_numpy=1)
    agree(ours, theirs, np.float64)
    assert theirs.t == ours.t == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_what_is_not_finite_updates_nothing(bad, where, rng):
    optimizer = pair(np.float32, rng)[1]
    set_gradients(optimizer)
    before = to_numpy(optimizer.flat.data)
    optimizer.flat.grad[...] = 1.0
    loss = np.array(2.0, np.float32)
    if where == "loss":
        loss[...] = bad
    else:
        optimizer.flat.grad[17] = bad
    loss, norm, updated = optimizer.step_if_finite(0.1, strict_module.asarray(loss), 1.0, 1.0)
    assert not updated and optimizer.t == 0
    assert not math.isfinite(loss if where == "loss" else norm)
    np.testing.assert_array_equal(to_numpy(optimizer.flat.data), before)
    assert not to_numpy(optimizer.m).any() and not to_numpy(optimizer.v).any()


def test_squares_that_overflow_are_refused_unless_clipping_makes_them_small(rng):
    """A gradient of 1e20 has a square beyond float32, but a norm that float64 holds."""
    loss = strict_module.asarray(np.array(2.0, np.float32))
    for clip in 0.0, 1.0:
        optimizer = pair(np.float32, rng)[1]
        set_gradients(optimizer)
        optimizer.flat.grad[...] = 1e20
        if clip:
            _, norm, updated = optimizer.step_if_finite(0.1, loss, 1.0, clip)
            assert updated and norm == pytest.approx(1e20 * math.sqrt(len(optimizer.flat)))
            assert np.isfinite(to_numpy(optimizer.v)).all()
        else:
            with pytest.raises(TrainingError, match="clip the gradients"):
                optimizer.step_if_finite(0.1, loss, 1.0, clip)
            assert optimizer.t == 0 and not to_numpy(optimizer.v).any()


RULES = [
    lambda leaves: SGD(leaves, weight_decay=0.3),
    lambda leaves: Momentum(leaves, weight_decay=0.3),
    lambda leaves: Momentum(leaves, nesterov=True),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", ["one", "all"])
@pytest.mark.parametrize("rule", RULES)
def test_gradient_descent_by_a_kernel(rule, dtype, threads, rng, monkeypatch):
    monkeypatch.setitem(cuda_on_cpu._threads, "all", threads == "all")
    ours, theirs = both = pair(dtype, rng, rule)
    n = len(ours.flat)
    for part in (5, 600), (0, n), (0, n):  # first a worker's part, of all three parameters
        for optimizer in both:
            set_gradients(optimizer)
        give(both, rng.normal(size=n))
        ours.step(0.02, *part, scale=0.7)
        with counted() as found:
            theirs.step(0.02, *part, scale=0.7)
        assert found.calls == dict(descend=1) and not found.waits
        same(ours.flat.data, theirs.flat.data, dtype)
        if ours.velocity is not None:
            same(ours.velocity, theirs.velocity, dtype)


@pytest.mark.parametrize("bad", [None, "loss", "gradient"])
@pytest.mark.parametrize("rule", RULES)
def test_a_step_of_gradient_descent_waits_once_and_skips_what_is_not_finite(rule, bad, rng):
    ours, theirs = both = pair(np.float64, rng, rule)
    for optimizer in both:
        set_gradients(optimizer)
    give(both, rng.normal(size=len(ours.flat)))
    norm, loss = 0.25 * np.linalg.norm(ours.flat.grad), 8.0
    if bad is None:
        ours.step(0.02, scale=0.25 * 0.5 / norm)
    elif bad == "gradient":
        theirs.flat.grad[17] = np.nan
    else:
        loss = np.inf
    with counted() as found:
        loss, length, updated = theirs.step_if_finite(
            0.02, strict_module.asarray(np.array(loss)), 0.25, 0.5
        )
    assert found.calls.total() == 3 and found.waits == dict(to_numpy=1)
    assert updated == (bad is None)
    if updated:
        assert loss == 2 and length == pytest.approx(norm, rel=1e-14)
    same(ours.flat.data, theirs.flat.data, np.float64)
    if ours.velocity is not None:
        same(ours.velocity, theirs.velocity, np.float64)


@pytest.mark.parametrize("n", [1, 255, 5000])
def test_the_sum_of_squares_is_the_same_in_every_order_of_threads(n, rng):
    g = rng.normal(size=n).astype(np.float32)
    found = []
    for backwards in False, True:
        with cuda_on_cpu.all_threads(backwards):
            found.append(to_numpy(updates.squares(strict_module.asarray(g)))[1])
    assert (
        found[0] == found[1] == pytest.approx(np.dot(g.astype(float), g.astype(float)), rel=1e-13)
    )
