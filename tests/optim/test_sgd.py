"""Gradient descent and momentum by hand."""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import host, leaf
from tinylm.optim import SGD, Momentum


def descend(optimizer, p, steps):
    """Steps down p**2 / 2, whose gradient is p. Returns where p went."""
    path = []
    for _ in range(steps):
        optimizer.zero_grad()
        (p * p * 0.5).sum().backward()
        optimizer.step()
        path.append(float(host(p).ravel()[0]))
    return path


def test_a_step_is_minus_the_rate_times_the_gradient(device):
    p = leaf([8.0], device)
    assert descend(SGD([p], lr=0.5), p, 3) == [4.0, 2.0, 1.0]  # each step halves


def test_decay_shrinks_matrices_and_leaves_vectors():
    matrix, vector = leaf([[8.0]]), leaf([8.0])
    assert descend(SGD([matrix], lr=0.5, weight_decay=0.5), matrix, 1) == [8 * (1 - 0.25) - 4]
    assert descend(SGD([vector], lr=0.5, weight_decay=0.5), vector, 1) == [4.0]


def test_momentum_remembers(device):
    p = leaf([8.0], device)
    # u = 8, p = 4; u = 0.5 * 8 + 4 = 8, p = 0; u = 0.5 * 8 + 0 = 4, p = -2
    assert descend(Momentum([p], lr=0.5, momentum=0.5), p, 3) == [4.0, 0.0, -2.0]


def test_nesterov_looks_ahead():
    p = leaf([8.0])
    # u = 8, step 0.5 (8 + 0.5 * 8) = 6, p = 2; u = 0.5 * 8 + 2 = 6, step 0.5 (2 + 3) = 2.5, p =
    # -0.5
    assert descend(Momentum([p], lr=0.5, momentum=0.5, nesterov=True), p, 2) == [2.0, -0.5]


def test_momentum_decay_is_part_of_the_gradient():
    matrix = leaf([[8.0]])
    assert descend(Momentum([matrix], lr=0.5, momentum=0.0, weight_decay=0.25), matrix, 1) == [
        8 - 0.5 * (8 + 2)
    ]


def test_no_momentum_is_plain_descent():
    a, b = leaf([3.0]), leaf([3.0])
    assert descend(SGD([a], lr=0.1), a, 4) == pytest.approx(
        descend(Momentum([b], lr=0.1, momentum=0.0), b, 4), rel=1e-15
    )


@pytest.mark.parametrize("make", [lambda p: SGD([p], lr=0.1), lambda p: Momentum([p], lr=0.1)])
def test_halves_of_the_buffer_make_the_whole_and_scale_scales(make):
    whole, halves = leaf(np.arange(1.0, 7).reshape(2, 3)), leaf(np.arange(1.0, 7).reshape(2, 3))
    first, second = make(whole), make(halves)
    for p in (whole, halves):
        (p * p).sum().backward()
    first.step(scale=0.5)
    second.step(start=0, stop=4, scale=0.5)
    second.step(start=4, stop=6, scale=0.5)
    np.testing.assert_array_equal(whole.numpy(), halves.numpy())


def test_state_comes_back():
    p = leaf([8.0])
    optimizer = Momentum([p], lr=0.5, momentum=0.5)
    descend(optimizer, p, 2)
    other = Momentum([leaf([1.0])])
    other.load_state(optimizer.state())
    np.testing.assert_array_equal(other.velocity, [8.0])
    SGD([leaf([1.0])]).load_state(SGD([leaf([1.0])]).state())


def test_weight_decay_of_float16_is_added_in_float32():
    p = tl.Tensor(np.full((1, 1), 1e-3, np.float16), requires_grad=True)
    optimizer = Momentum([p], lr=1.0, weight_decay=1e-5)  # 1e-5 * 1e-3 is no float16
    p.grad = tl.Tensor(np.zeros((1, 1), np.float16))
    optimizer.step()
    np.testing.assert_allclose(optimizer.velocity, 1e-8, rtol=1e-3)
