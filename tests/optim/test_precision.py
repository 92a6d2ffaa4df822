"""Optimizer state and norms of float16 live in float32, and no square of a gradient disappears."""

import numpy as np
import pytest

from tinylm.autograd import Tensor
from tinylm.errors import TrainingError
from tinylm.optim import SGD, AdamW, Momentum
from tinylm.optim.flat import clip_grad_norm, grad_norm, sum_of_squares

HALF, SINGLE = np.float16, np.float32


def with_gradient(make, values, gradient, dtype):
    """A parameter and its optimizer, with this gradient waiting."""
    p = Tensor(np.array(values, dtype), requires_grad=True)
    optimizer = make([p])
    p.grad = Tensor(np.array(gradient, dtype))
    return p, optimizer


def updated(make, values, gradients, dtype):
    """The parameter after one step with each of the gradients."""
    p = Tensor(np.array(values, dtype), requires_grad=True)
    optimizer = make([p])
    for gradient in gradients:
        p.grad = Tensor(np.array(gradient, dtype))
        optimizer.step()
    return p.numpy().astype(float), optimizer


MAKE = {
    "AdamW": lambda p: AdamW(p, lr=0.1),
    "Momentum": lambda p: Momentum(p, lr=1e-3),
    "SGD": lambda p: SGD(p, lr=1e-3),
}
# zero, subnormal, ordinary, and a gradient whose square is beyond float16
GRADIENTS = [[0.0, 1e-7, 0.5, 1000.0], [0.0, -1e-7, 0.25, 300.0]]


@pytest.mark.parametrize("name", MAKE)
def test_float16_is_updated_in_float32(name):
    values = [1.0, 2.0, -1.0, 0.5]
    half, optimizer = updated(MAKE[name], values, GRADIENTS, HALF)
    exact, _ = updated(MAKE[name], values, np.array(GRADIENTS, HALF).astype(float), np.float64)
    np.testing.assert_allclose(half, exact, rtol=3e-3)
    for state in optimizer.state().values():
        assert not isinstance(state, np.ndarray) or state.dtype == SINGLE
    again = MAKE[name]([Tensor(np.array(values, HALF), requires_grad=True)])
    again.load_state(optimizer.state())
    for mine, theirs in zip(again.state().values(), optimizer.state().values(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_large_gradient_that_is_clipped_moves_its_weight_by_the_learning_rate():
    p, optimizer = with_gradient(MAKE["AdamW"], [1.0], [1e25], SINGLE)
    optimizer.step(scale=1e-25)
    np.testing.assert_allclose(p.numpy(), [0.9], rtol=1e-6)


def test_a_gradient_whose_square_overflows_is_refused_before_anything_changes():
    p, optimizer = with_gradient(MAKE["AdamW"], [1.0, 2.0], [1e20, 1.0], SINGLE)
    with pytest.raises(TrainingError, match="a gradient of 1.0e[+]20 has a square beyond float32"):
        optimizer.step()
    np.testing.assert_array_equal(p.numpy(), [1, 2])
    assert optimizer.t == 0 and not optimizer.m.any()


def test_only_a_gradient_whose_own_square_overflows_is_refused():
    # float32 ends at 3.4e38: the square of 1.5e19 is 2.25e38, the sum of two of them is beyond.
    p, optimizer = with_gradient(MAKE["AdamW"], [1.0, 2.0], [1.5e19, 1.5e19], SINGLE)
    optimizer.step()
    np.testing.assert_allclose(p.numpy(), [0.9, 1.9], rtol=1e-6)  # lr = 0.1
    # What counts is the gradient after scaling: 1e15 * 1e5 has the square 1e40.
    p, optimizer = with_gradient(MAKE["AdamW"], [1.0], [1e15], SINGLE)
    with pytest.raises(TrainingError, match="a gradient of 1.0e[+]20"):
        optimizer.step(scale=1e5)


@pytest.mark.parametrize("dtype, size", [(HALF, 1e3), (HALF, 6e4), (SINGLE, 1e20), (SINGLE, 1e-3)])
def test_norms_do_not_overflow_and_clipping_keeps_the_direction(dtype, size):
    p, optimizer = with_gradient(SGD, [0.0, 0.0], [3 * size / 5, -4 * size / 5], dtype)
    assert grad_norm(optimizer.flat) == pytest.approx(size, rel=1e-3)
    assert clip_grad_norm(optimizer, size / 100) == pytest.approx(size, rel=1e-3)
    clipped = p.grad.numpy().astype(float)
    np.testing.assert_allclose(clipped, [3 * size / 500, -4 * size / 500], rtol=2e-3)


def test_a_norm_of_many_values_keeps_its_digits():
    g = np.random.default_rng(0).normal(size=3_000_000).astype(SINGLE)
    exact = float(np.dot(g.astype(float), g.astype(float)))
    assert sum_of_squares(g) == pytest.approx(exact, rel=1e-6)
