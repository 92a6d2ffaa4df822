"""Running sums in groups are those of one chain in float64, and strange numbers take that chain."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinylm as tl
from tinylm.autograd.primitives import running
from tinylm.autograd.primitives.running import GROUP, exact_running_sums, running_sums
from tinylm.errors import ShapeError


def assert_rounded_once(found, a, axis, reverse):
    """Sums in float64 are within half a digit of float32, and what float64 itself rounds."""

    def sums(x):
        return np.flip(np.cumsum(np.flip(x, axis), axis), axis) if reverse else np.cumsum(x, axis)

    expected, size = sums(a.astype(np.float64)), sums(np.abs(a.astype(np.float64)))
    assert found.dtype == np.float32 and found.shape == a.shape
    assert np.all(np.abs(found - expected) <= 2.0**-24 * np.abs(expected) + 1e-13 * size)


@given(
    before=st.integers(1, 40),
    n=st.integers(2 * GROUP, 9 * GROUP),
    after=st.sampled_from([1, 1, 3, 40]),
    reverse=st.booleans(),
    shift=st.sampled_from([0.0, 3.0]),
)
def test_every_shape_in_float32_is_rounded_once(before, n, after, reverse, shift):
    shape = (before, n, after) if after > 1 else (before, n)
    a = (np.random.default_rng(n).normal(size=shape) + shift).astype(np.float32)
    assert_rounded_once(running_sums(a, 1, reverse), a, 1, reverse)


def test_a_million_numbers_lose_no_more_digits_than_a_hundred():
    a = np.random.default_rng(0).random(10**6).astype(np.float32)
    for reverse in (False, True):
        assert_rounded_once(running_sums(a, 0, reverse), a, 0, reverse)


@pytest.mark.parametrize("strange", [np.inf, -np.inf, np.nan, 1e30, -3e38])
def test_strange_numbers_reach_only_what_comes_after_them(strange):
    a = np.random.default_rng(1).normal(size=(40, 100)).astype(np.float32)
    a[3, 50] = strange
    a[7, 2:5] = 3e38, 3e38, -2e38  # float32 does not hold the second sum, but the third
    with np.errstate(invalid="ignore", over="ignore"):
        for reverse in (False, True):
            found, expected = running_sums(a, 1, reverse), exact_running_sums(a, 1, reverse)
            np.testing.assert_allclose(found, expected, rtol=2e-7, atol=1e-12)


def test_groups_are_used_where_they_are_meant_to_be(monkeypatch):
    calls = []
    groups = running._by_groups
    monkeypatch.setattr(running, "_by_groups", lambda *a: calls.append(1) or groups(*a))
    x = np.ones((64, 64), np.float32)
    for a in (x.astype(np.float64), x.astype(np.float16), x[:1], x[:, :GROUP]):
        running_sums(a, 1)
    assert not calls
    running_sums(x, 0)
    running_sums(x.T, -1, True)
    assert len(calls) == 2


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_gradients_of_float32_are_sums_from_the_end_to_any_order(axis):
    a = np.random.default_rng(2).normal(size=(48, 64)).astype(np.float32)
    weights = np.random.default_rng(3).normal(size=a.size if axis is None else a.shape)

    def derivatives(dtype):
        x = tl.Tensor(a.astype(dtype), requires_grad=True)
        y = tl.cumsum(x, axis)
        (g,) = tl.grad(((y * y) * weights.astype(dtype)).sum(), [x], create_graph=True)
        (second,) = tl.grad((g * g).sum(), [x])
        return y.data, g.data, second.data

    for found, expected in zip(derivatives(np.float32), derivatives(np.float64)):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_one_axis_at_a_time():
    with pytest.raises(ShapeError, match=r"along one axis, not \(0, 1\)"):
        tl.cumsum(np.ones((2, 3)), axis=(0, 1))
