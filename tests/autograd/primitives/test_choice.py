"""Choices by bits are np.where; arrays in blocks are the whole array."""

import numpy as np
import pytest

import tinylm as tl
from tests.numeric import host, plain
from tinylm.autograd.primitives import choice
from tinylm.autograd.primitives.choice import BLOCK, MANY, blockwise, chosen, times_sign

STRANGE = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -3.5, 1e30])


def drawn(*shape, dtype="float32"):
    rng = np.random.default_rng(0)
    values = rng.choice(np.concatenate([STRANGE, rng.normal(size=20)]), shape)
    return values.astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("other", [0.0, 0, -0.0, 2, -np.inf, np.nan, "array", "row"])
def test_every_choice_has_the_bits_of_np_where(dtype, other):
    n = 2 * MANY
    condition = np.random.default_rng(1).random((2, n)) < 0.5
    a = drawn(2, n, dtype=dtype)
    b = {"array": a[::-1], "row": a[0]}.get(other, other) if isinstance(other, str) else other
    for left, right in ((a, b), (b, a)):
        found, expected = chosen(condition, left, right), np.where(condition, left, right)
        assert found.dtype == expected.dtype == dtype
        # the bits, so that the sign of a zero counts
        kind = f"i{a.itemsize}"
        np.testing.assert_array_equal(found.view(kind), expected.view(kind))


def test_large_floats_are_chosen_by_bits_and_nothing_else(monkeypatch):
    """np.where is what takes the time: it must not be called where bits will do."""
    called = []
    where = np.where
    monkeypatch.setattr(choice.np, "where", lambda *given: called.append(1) or where(*given))
    yes, x = np.ones(MANY, bool), np.ones(MANY, np.float32)
    chosen(yes, x, 0.0)
    chosen(yes, x, x)
    chosen(yes[None, :64], np.ones((64, 64), np.float32), -np.inf)  # a mask that broadcasts
    assert not called
    mixed = [
        (yes, x, x.astype(np.float64)),  # the result has the longer dtype
        (yes, x.astype(int), 0),
        (yes, x.astype(np.float16), 0.0),
        (yes[1:], x[1:], 0.0),  # too few to gain anything
        (yes, 1.0, 0.0),
        (x, x, 0.0),  # not a bool
        (True, x, 0.0),
        (yes, x, np.float64(0.0)),  # makes the result float64, as in np.where
    ]
    for given in mixed:
        expected = where(*given)
        found = chosen(*given)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    assert len(called) == len(mixed)


def test_a_condition_that_broadcasts_and_views_that_are_not_contiguous():
    x, c = drawn(3, 2, 64, 64), np.random.default_rng(2).random((64, 64)) < 0.5
    for a in (x, x.swapaxes(-1, -2), np.broadcast_to(x[:1, :1], x.shape)):
        np.testing.assert_array_equal(chosen(c, a, 0.0), np.where(c, a, 0.0))
        np.testing.assert_array_equal(chosen(c, a, -np.inf), np.where(c, a, -np.inf))
        np.testing.assert_array_equal(chosen(c.T, a, x), np.where(c.T, a, x))
    assert np.array_equal(x, drawn(3, 2, 64, 64), equal_nan=True)  # nothing was written to


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("values", [[-2.5, 1e-40, 3.0, -np.inf], [0.0, -0.0, 2.0], [np.nan, -1.0]])
def test_a_sign_by_its_bit_is_np_sign(dtype, values):
    a = np.resize(np.array(values), (2, MANY)).astype(dtype)
    g = drawn(2, MANY, dtype=dtype)
    with np.errstate(invalid="ignore"):  # inf * 0
        np.testing.assert_array_equal(times_sign(g, a, np.abs(a)), g * np.sign(a))


def test_signs_of_large_arrays_are_bits(monkeypatch):
    """np.sign is what takes the time."""
    monkeypatch.delattr(choice.np, "sign")
    a = np.full(MANY, -1.0)
    np.testing.assert_array_equal(times_sign(a, a, -a), -a)
    with pytest.raises(AttributeError):
        times_sign(a, a * 0, a * 0)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (5,), (2, BLOCK), (BLOCK + 1,)])
def test_blocks_together_are_the_whole(shape, device):
    x = np.random.default_rng(3).normal(size=shape)

    def step(a, b, larger, sums):
        assert a.ndim == 1 and a.shape == b.shape == larger.shape == sums.shape
        np.maximum(a, b, out=larger)
        np.add(a, b, out=sums)

    larger, sums = blockwise(step, plain(x, device), plain(-x, device), outputs=2)
    np.testing.assert_array_equal(host(larger), np.abs(x))
    np.testing.assert_array_equal(host(sums), np.zeros(shape))
    assert larger.shape == shape


def test_columns_come_back_as_columns():
    x = np.arange(12.0).reshape(3, 4).T
    doubled = blockwise(lambda a, y: np.multiply(a, 2, out=y), x)
    np.testing.assert_array_equal(doubled, 2 * x)


@pytest.mark.parametrize(
    "name", ["gelu", "gelu_tanh", "silu", "sigmoid", "softplus", "erf", "relu"]
)
def test_activations_of_more_than_a_block_are_those_of_the_parts(name):
    f = getattr(tl, name)
    x = np.random.default_rng(4).normal(size=BLOCK + 7).astype(np.float32)
    parts = []
    for part in (x[:10], x[10:BLOCK], x[BLOCK:]):
        a = tl.Tensor(part.copy(), requires_grad=True)
        y = f(a)
        y.sum().backward()
        parts.append((y.data, a.grad.data))
    a = tl.Tensor(x, requires_grad=True)
    y = f(a)
    y.sum().backward()
    # SIMD loops may round the odd last elements of a run in another way.
    np.testing.assert_allclose(y.data, np.concatenate([p[0] for p in parts]), rtol=3e-7, atol=1e-7)
    found, expected = a.grad.data, np.concatenate([p[1] for p in parts])
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=3e-7)
