"""Gradients of slices are added in place, and nowhere else."""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import host, plain
from tinylm.autograd.engine import part
from tinylm.autograd.engine.part import Part
from tinylm.autograd.engine.rounding import Rounding, rounding
from tinylm.models.low_bit.bfloat16 import simulate as bfloat16

SLICES = [
    (slice(None), 1), (slice(None), -1), slice(1, None), (..., 0), (0, None, slice(None, None, 2)),
    (slice(None), slice(None, None, -1)), 2, (1, 2, 1),
]  # fmt: skip


def whole(shape, pairs):
    """The gradients of slices by hand: zeros, and every cotangent added at its index."""
    out = np.zeros(shape)
    for index, g in pairs:
        out[index] += g
    return out


@pytest.mark.parametrize("leaf", [True, False])
def test_overlapping_slices_add_up(leaf, rng, device):
    a = tl.Tensor(rng.standard_normal((3, 4, 2)), requires_grad=True, device=device)
    x = a if leaf else a * 1.0
    loss, pairs = 0.0, []
    for index in SLICES:
        y = x[index]
        g = rng.standard_normal(y.shape)
        pairs.append((index, g))
        loss = loss + (y * plain(g, device)).sum()
    loss.backward()
    np.testing.assert_allclose(host(a.grad), whole(a.shape, pairs), rtol=1e-14)


@pytest.mark.parametrize("first", ["a slice", "the whole"])
def test_slices_beside_uses_of_the_whole(first, rng):
    """x * 1 hands on an array that others hold: adding a slice into it must not change those."""
    a, b = (tl.Tensor(rng.standard_normal((3, 4)), requires_grad=True) for _ in range(2))
    x = a * 1.0
    if first == "a slice":  # the newest operation sends its cotangent first
        total = x + b
        y = x[1]
    else:
        y = x[1]
        total = x + b
    g, h = rng.standard_normal((3, 4)), rng.standard_normal(4)
    ((total * g).sum() + (y * h).sum()).backward()
    np.testing.assert_allclose(b.grad.data, g, rtol=1e-15)
    np.testing.assert_allclose(a.grad.data, g + whole((3, 4), [(1, h)]), rtol=1e-15)


def test_one_cotangent_of_two_slices_is_not_changed(rng):
    """y + z gives both slices the same array."""
    a = tl.Tensor(rng.standard_normal((2, 3)), requires_grad=True)
    x = a * 1.0
    g = rng.standard_normal(3)
    given = g.copy()
    (x[0] + x[1] + x[0]).backward(g)
    np.testing.assert_array_equal(g, given)
    np.testing.assert_allclose(a.grad.data, [2 * g, g], rtol=1e-15)


def test_a_gradient_that_was_read_keeps_its_values(rng):
    a = tl.Tensor(rng.standard_normal((2, 3)), requires_grad=True)
    a[0].sum().backward()
    read = a.grad
    before = read.data.copy()
    a[0].sum().backward()
    np.testing.assert_array_equal(read.data, before)
    np.testing.assert_array_equal(a.grad.data, 2 * before)


def test_grad_and_retained_gradients_of_what_is_sliced(rng):
    a = tl.Tensor(rng.standard_normal((3, 2)), requires_grad=True)
    x = a * 2.0
    y = x[0] + x[1:].sum(axis=0)
    by_x, by_a = tl.grad(y.sum(), [x, a])
    np.testing.assert_array_equal(by_x.data, np.ones((3, 2)))
    np.testing.assert_array_equal(by_a.data, np.full((3, 2), 2.0))
    assert type(by_x.data) is np.ndarray and type(by_a.data) is np.ndarray


def test_second_derivatives_of_slices(rng):
    a = tl.Tensor(rng.standard_normal((3, 2)), requires_grad=True)
    x = a * 1.0
    (g,) = tl.grad((x[0] ** 3 + x[1] ** 2).sum(), [a], create_graph=True)
    (h,) = tl.grad(g.sum(), [a])
    np.testing.assert_allclose(h.data, [6 * a.data[0], [2, 2], [0, 0]], rtol=1e-14)


def test_halves_and_emulated_bfloat16_receive_whole_arrays(rng):
    x = rng.standard_normal((2, 3)).astype(np.float16)
    a = tl.Tensor(x, requires_grad=True)
    ((a * 1.0)[0] + (a * 1.0)[1]).sum().backward()
    assert a.grad.dtype == np.float16 and np.all(a.grad.data == 1)
    b = tl.Tensor(x.astype(np.float32), requires_grad=True)
    with rounding(Rounding(bfloat16, bfloat16)):
        y = b * 1.0
        # 1 + 2^-8 is not a bfloat16: the sum of the two parts is rounded, to 1
        (y[0] * 1.0 + y[0] * np.float32(2**-8)).sum().backward()
    assert np.all(b.grad.data[0] == 1) and np.all(b.grad.data[1] == 0)


def test_a_sequence_read_step_by_step_is_written_out_once(monkeypatch):
    """T slices of T steps: whole arrays would make the backward pass quadratic in T."""
    made = []
    empty = np.empty_like
    monkeypatch.setattr(
        part.np,
        "empty_like",
        lambda x, shape=None, **o: made.append(shape) or empty(x, shape=shape, **o),
    )
    a = tl.Tensor(np.ones((2, 50, 3)), requires_grad=True)
    for x in (a, a * 1.0):
        made.clear()
        tl.stack([x[:, t] for t in range(50)], 1).sum().backward()
        assert made.count((2, 50, 3)) == 1
        a.grad = None


def test_a_part_is_the_whole_array_where_one_is_asked_for():
    p = Part(np.array([1.0, 2.0]), (0, slice(1, None)), (2, 3))
    np.testing.assert_array_equal(p.data, [[0, 1, 2], [0, 0, 0]])
    assert p.shape == (2, 3) and p.dtype == float
    np.testing.assert_array_equal((p * 2.0).data, 2 * p.data)


SEQUENCES = {
    "backwards": [np.s_[:, 4:6], np.s_[:, 2:4], np.s_[:, 0:2]],
    "with a gap that is filled later": [np.s_[:, 0:1], np.s_[:, 4:], np.s_[:, 2:3], np.s_[:, 1]],
    "overlapping": [np.s_[:, 1:4], np.s_[:, 3:], np.s_[:, :2]],
    "negative": [np.s_[:, -1], np.s_[:, -3:-1], np.s_[:, -6]],
    "along two axes": [np.s_[:, 1], np.s_[0], np.s_[:, 3:]],
    "of both axes at once": [np.s_[0, 1:3], np.s_[:, 4], np.s_[1, 0]],
    "in steps": [np.s_[:, ::2], np.s_[:, 1::2], np.s_[:, ::-1]],
    "whole": [np.s_[:], np.s_[:, 2], np.s_[...]],
    "new axes": [np.s_[None, :, 2], np.s_[:, 2:4]],
    "empty": [np.s_[:, 3:3], np.s_[:, 2:4], np.s_[:, 5:2]],
}


@pytest.mark.parametrize("slot", [False, True])
@pytest.mark.parametrize("interior", [False, True])
@pytest.mark.parametrize("slices", SEQUENCES.values(), ids=SEQUENCES)
def test_parts_in_any_order_and_other_uses_between_add_up(slices, interior, slot, rng):
    values = rng.normal(size=(2, 6))
    for use_between in range(len(slices) + 1):
        a = tl.Tensor(values, requires_grad=True)
        if slot:
            a.slot = np.full((2, 6), 7.0)
        x = a * 1.0 if interior else a
        expected, total = np.zeros((2, 6)), None
        for i, index in enumerate(slices):
            if i == use_between:  # an operation that reads all of x
                total = (x * 3.0).sum() if total is None else total + (x * 3.0).sum()
                expected += 3
            weights = rng.normal(size=values[index].shape)
            expected[index] += weights
            term = (x[index] * weights).sum()
            total = term if total is None else total + term
        total.backward()
        np.testing.assert_allclose(a._grad.data, expected, rtol=1e-14)
