"""Indexing as NumPy does it; an element read twice receives both cotangents."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinylm as tl
from tests.numeric import gradients, host, leaf, plain
from tinylm.errors import ShapeError

MASK = np.array([[True, False, True], [False, False, True]])
INDICES = {
    "integer": 1,
    "negative": -1,
    "slice": slice(0, 1),
    "step": (slice(None), slice(2, None, -2)),
    "reversed": slice(None, None, -1),
    "ellipsis": (..., 1),
    "new axis": (slice(None), None, 2),
    "ellipsis and none": (None, ..., slice(1, 3), None),
    "duplicates": np.array([0, 1, 0, 0]),
    "list": [1, 1],
    "pairs": (np.array([0, 0, 1]), np.array([2, 2, 0])),
    "increasing": np.array([0, 1]),
    "increasing pairs": (np.array([0, 0, 1]), np.array([0, 2, 1])),
    "one place by two names": np.array([-1, 1]),
    "pairs that are broadcast": (np.array([1]), np.array([0, 2])),
    "negative duplicates": np.array([-1, 1, -2]),
    "broadcast pairs": (np.array([[0], [1]]), np.array([[0, 0, 2]])),
    "mask": MASK,
    "row mask": np.array([False, True]),
    "mask of nothing": np.zeros((2, 3), bool),
    "mask and slice": (slice(None), np.array([True, False, True])),
    "integers and slice": (np.array([1, 1]), slice(0, 2)),
    "split integers": (np.array([0, 1, 1]), slice(None), np.array([3, 3, 0])),
    "empty slice": slice(1, 1),
}


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_every_index_reads_like_numpy_and_scatters_back(device, rng, index):
    values = rng.normal(size=(2, 3, 4))
    parts = index if isinstance(index, tuple) else (index,)
    moved = tuple(plain(i, device) if isinstance(i, np.ndarray) else i for i in parts)
    if not isinstance(index, tuple):
        moved = moved[0]
    y, (g,) = gradients(lambda a: a[moved], [values], device)
    np.testing.assert_array_equal(y, values[index])
    expected = np.zeros_like(values)
    np.add.at(expected, index, np.random.default_rng(0).normal(size=y.shape))
    np.testing.assert_allclose(g, expected, rtol=1e-15, atol=1e-15)


@given(shape=hnp.array_shapes(min_dims=1, max_dims=3, max_side=4), data=st.data())
def test_any_basic_index_matches_numpy(shape, data):
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    values = np.arange(float(np.prod(shape))).reshape(shape)
    y, (g,) = gradients(lambda a: a[index], [values])
    np.testing.assert_array_equal(y, values[index])
    expected = np.zeros(shape)
    expected[index] = np.random.default_rng(0).normal(size=y.shape)
    np.testing.assert_array_equal(g, expected)


@given(shape=hnp.array_shapes(min_dims=1, max_dims=3, max_side=4), data=st.data())
def test_any_integer_index_adds_up_duplicates(shape, data):
    index = data.draw(hnp.integer_array_indices(shape))
    values = np.arange(float(np.prod(shape))).reshape(shape)
    y, (g,) = gradients(lambda a: a[index], [values])
    np.testing.assert_array_equal(y, values[index])
    expected = np.zeros(shape)
    np.add.at(expected, index, np.random.default_rng(0).normal(size=y.shape))
    np.testing.assert_allclose(g, expected, rtol=1e-14, atol=1e-14)


def test_a_tensor_of_integers_indexes(device):
    x, index = leaf([1.0, 2.0], device), tl.Tensor(np.array([1, 1, 0]), device=device)
    x[index].sum().backward()
    np.testing.assert_array_equal(host(x.grad), [1.0, 2.0])


def test_scatter_add_sums_duplicates_and_its_gradient_gathers(device, rng):
    index = plain([2, 0, 2], device)
    values = rng.normal(size=(3, 2))
    y, (g,) = gradients(lambda v: tl.scatter_add((4, 2), index, v), [values], device)
    np.testing.assert_allclose(y, [values[1], [0, 0], values[0] + values[2], [0, 0]])
    np.testing.assert_array_equal(g, np.random.default_rng(0).normal(size=(4, 2))[[2, 0, 2]])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_take_along_axis_is_numpys(device, rng, axis):
    values = rng.normal(size=(3, 3))
    indices = np.array([[0, 0, 2], [1, 1, 1]]) if axis == 0 else np.array([[0, 0], [2, 1], [1, 1]])
    y, (g,) = gradients(
        lambda a: tl.take_along_axis(a, plain(indices, device), axis), [values], device
    )
    np.testing.assert_array_equal(y, np.take_along_axis(values, indices, axis))
    expected, cotangent = np.zeros((3, 3)), np.random.default_rng(0).normal(size=y.shape)
    for at in np.ndindex(*indices.shape):
        where = list(at)
        where[axis] = indices[at]
        expected[tuple(where)] += cotangent[at]
    np.testing.assert_allclose(g, expected)


@pytest.mark.parametrize("axis", [0, -1])
def test_sort_sends_each_cotangent_where_its_value_came_from(device, axis):
    values = np.array([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])
    y, (g,) = gradients(lambda a: tl.sort(a, axis=axis), [values], device)
    np.testing.assert_array_equal(y, np.sort(values, axis))
    back = np.zeros_like(values)
    np.put_along_axis(
        back, np.argsort(values, axis), np.random.default_rng(0).normal(size=(2, 3)), axis
    )
    np.testing.assert_array_equal(g, back)


def test_topk_gives_the_largest_first_and_the_earlier_of_equals(device):
    x = leaf([[1.0, 7.0, 7.0, 3.0], [2.0, 0.0, -1.0, 9.0]], device)
    values, indices = tl.topk(x, 2)
    np.testing.assert_array_equal(host(values), [[7.0, 7.0], [9.0, 2.0]])
    np.testing.assert_array_equal(host(indices), [[1, 2], [3, 0]])
    values.sum().backward()
    np.testing.assert_array_equal(host(x.grad), [[0, 1, 1, 0], [1, 0, 0, 1]])


def test_impossible_indices_are_named():
    x = tl.Tensor(np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"getitem: .*out of bounds.*\(2, 3\)"):
        x[5]
    with pytest.raises(ShapeError, match="topk: k = 4, but axis -1 of shape"):
        tl.topk(x, 4)
    with pytest.raises(ShapeError, match="take_along_axis: indices of shape"):
        tl.take_along_axis(x, np.zeros((3, 1), int), 1)


def test_topk_puts_nan_before_every_number():
    values, indices = tl.topk(tl.Tensor([1.0, np.nan, 3.0]), 2)  # as torch does
    assert np.array_equal(indices, [1, 2])
    assert np.array_equal(values.numpy(), [np.nan, 3.0], equal_nan=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64, np.int64, bool, np.float16])
def test_topk_orders_every_dtype(dtype):
    if dtype is np.float16:
        limits = np.finfo(dtype)
    else:
        limits = np.iinfo(np.int8 if dtype is bool else dtype)
    ends = [dtype(limits.min), dtype(limits.max)]  # -0 and -min of integers are themselves
    values = np.array([0, ends[0], 3, ends[1], 3], dtype)
    top, indices = tl.topk(tl.Tensor(values), 5)
    np.testing.assert_array_equal(top.numpy(), np.sort(values)[::-1])
    np.testing.assert_array_equal(values[indices], top.numpy())
    ties = top.numpy()[1:] == top.numpy()[:-1]
    assert np.all(np.diff(indices)[ties] > 0)  # the earlier of equals first


def test_sort_without_an_axis_is_numpys(rng):
    x = leaf(rng.normal(size=(2, 3)))
    y = tl.sort(x, axis=None)
    np.testing.assert_array_equal(y.numpy(), np.sort(x.numpy(), axis=None))
    y.backward(np.arange(6.0))
    order = np.argsort(x.numpy(), axis=None)
    np.testing.assert_array_equal(x.grad.numpy().reshape(-1)[order], np.arange(6.0))


def test_many_values_for_one_place_keep_their_digits(rng):
    ones = tl.Tensor(np.ones(5000, np.float16))  # 2048 + 1 is 2048 in float16
    assert tl.scatter_add((2,), np.zeros(5000, int), ones).numpy()[0] == 5000
    w = tl.Tensor(np.zeros(2, np.float32), requires_grad=True)
    g = (rng.random(100_000) + 0.1).astype(np.float32)
    w[np.ones(100_000, int)].backward(g)
    np.testing.assert_allclose(w.grad.numpy(), [0, g.astype(np.float64).sum()], rtol=1e-6)
