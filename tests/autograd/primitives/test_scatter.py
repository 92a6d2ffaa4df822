"""Sums by ids along an axis are those of np.add.at."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import tinylm as tl
from tests.numeric import host, plain
from tinylm.autograd.kernels.rows import add_rows
from tinylm.autograd.primitives import indexing
from tinylm.autograd.primitives.scatter import ROUNDS, add_along, one_axis
from tinylm.errors import ShapeError


def by_numpy(shape, axis, ids, values):
    out = np.zeros(shape, values.dtype)
    np.add.at(out, (slice(None),) * axis + (ids,), values)
    return out


@given(st.data())
def test_sums_along_any_axis_are_numpys_to_the_last_bit(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    axis = data.draw(st.integers(0, len(shape) - 1))
    n = shape[axis]
    ids_shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=2)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    ids = rng.integers(-n, n, ids_shape)
    values = rng.normal(size=(*shape[:axis], *ids_shape, *shape[axis + 1 :]))
    found = add_along(shape, axis, ids, values)
    # The same additions in the same order; the ids themselves are not changed.
    expected = by_numpy(shape, axis, ids, values)
    np.testing.assert_array_equal(found, expected)
    assert found.shape == shape and ids.min() >= -n


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("ids", [[5, 0, -2], [4, 0, -2]])  # -2 is 4: in the second one it repeats
def test_places_that_no_id_names_stay_zero(axis, ids):
    values = np.arange(1.0, 10).reshape(3, 3)
    shape = (6, 3) if axis == 0 else (3, 6)
    found = add_along(shape, axis, np.array(ids), values)
    np.testing.assert_array_equal(found, by_numpy(shape, axis, ids, values))
    assert np.all(np.take(found, [1, 2, 3], axis) == 0)


def test_what_cannot_be_summed_by_rows_is_left_to_numpy():
    x = np.ones((ROUNDS + 1, 2))
    assert add_along((3, 2), 0, np.zeros(ROUNDS + 1, int), x) is None  # too many at one id
    assert add_along((3, 2), 0, np.zeros(ROUNDS, int), x[1:])[0, 0] == ROUNDS
    assert add_along((3, 2), 0, np.array([3]), x[:1]) is None  # outside: NumPy says so
    assert add_along((3, 2), 0, np.array([-4]), x[:1]) is None
    with pytest.raises(ShapeError, match="index 3 is out of bounds"):
        indexing.scatter_add((3, 2), np.array([3]), x[:1])


def test_which_indices_are_one_array_along_an_axis():
    ids, every = np.array([1, 0]), slice(None)
    assert one_axis(ids, 1)[0] == 0 and one_axis((every, ids), 3)[0] == 1
    assert one_axis((every, every, ids), 3)[0] == 2
    others = [
        (slice(1, None), ids), (ids, ids), (0, ids), (None, ids), (..., ids), [1, 0], 1,
        np.array([True, False]), np.zeros(0, int), (every, every), (ids, every, every, every),
    ]  # fmt: skip
    assert all(one_axis(index, 3) is None for index in others)


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "uint64"])
@pytest.mark.parametrize("ids", [[3, 0, 2], [1, 1, 0], [[0, 1], [1, 2]]])
def test_columns_are_read_and_their_gradients_put_back(dtype, ids, rng):
    x, ids = rng.standard_normal((2, 4, 3)), np.array(ids, dtype)
    a = tl.Tensor(x, requires_grad=True)
    y = a[:, ids]
    np.testing.assert_array_equal(y.data, x[:, ids])
    g = rng.standard_normal(y.shape)
    y.backward(g)
    np.testing.assert_allclose(a.grad.data, by_numpy(x.shape, 1, ids, g), rtol=1e-15)


def test_ids_that_stand_thousands_of_times_keep_their_digits():
    # A chain of 20,000 additions in float32 keeps four.
    g = np.full((20_000, 2), 0.1, np.float32)
    a = tl.Tensor(np.zeros((2, 2), np.float32), requires_grad=True)
    a[np.zeros(20_000, int)].backward(g)
    np.testing.assert_allclose(a.grad.data, [[2000, 2000], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize("pick", ["sort", "topk", "one of each row", "several of each row"])
def test_values_picked_along_an_axis_get_their_gradients_back(pick, rng, device):
    x = rng.standard_normal((3, 2, 5))
    a = tl.Tensor(x, requires_grad=True, device=device)
    ids = np.array([4, 4, 0])[:, None, None] + np.zeros((1, 2, 1), int)
    if pick == "sort":
        y, ids = tl.sort(a), np.argsort(x, -1)
    elif pick == "topk":
        y, ids = tl.topk(a, 2, axis=-1)[0], np.argsort(-x, -1)[..., :2]
    else:
        if pick == "several of each row":  # one of them twice: its gradients add up
            ids = np.concatenate([ids, ids - 1, ids], -1) % 5
        y = tl.take_along_axis(a, plain(ids, device), -1)
    g = rng.standard_normal(y.shape)
    y.backward(plain(g, device))
    expected = np.zeros_like(x)
    np.add.at(expected, (np.arange(3)[:, None, None], np.arange(2)[:, None], ids), g)
    np.testing.assert_allclose(host(a.grad), expected, rtol=1e-15)


def test_rows_of_common_and_rare_ids_add_up_in_rounds_and_runs(rng):
    """As words of a text: one id stands 300 times, some between 1 and 40 times, most never."""
    times = [300, ROUNDS, ROUNDS + 1, 40, 1, 0, 2]
    ids = rng.permutation(np.repeat(np.arange(len(times)) * 90, times))
    g = rng.standard_normal((len(ids), 3))
    expected = by_numpy((600, 3), 0, ids, g)
    out = np.full((600, 3), 7.0)  # what it held before does not count
    assert add_rows(ids, g, 600, out) is out
    np.testing.assert_allclose(out, expected, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(add_rows(ids, g, 600), expected, rtol=1e-13, atol=1e-13)
    # In float32 no chain of additions is longer than a run of 128.
    short = add_rows(ids, np.abs(g).astype(np.float32), 600)
    np.testing.assert_allclose(short, by_numpy((600, 3), 0, ids, np.abs(g)), rtol=2e-6)


@given(
    rows=st.integers(1, 40),
    n=st.integers(0, 60),
    D=st.integers(0, 3),
    seed=st.integers(0, 99),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_rows_of_small_tables_add_up_in_blocks_of_products(rows, n, D, seed, dtype):
    rng = np.random.default_rng(seed)
    ids, g = rng.integers(0, rows, n), rng.standard_normal((n, D)).astype(dtype)
    expected = by_numpy((rows, D), 0, ids, g.astype(np.float64))
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    out = np.full((rows, D), 7, dtype)
    assert add_rows(ids, g, rows, out) is out
    np.testing.assert_allclose(out, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(add_rows(ids, g, rows), out)


def test_an_id_that_stands_thousands_of_times_keeps_its_digits_in_a_small_table():
    ids = np.zeros(100_000, int)
    ids[::1000] = 3
    g = np.random.default_rng(0).random((100_000, 2)).astype(np.float32)
    expected = by_numpy((9, 2), 0, ids, g.astype(np.float64))
    np.testing.assert_allclose(add_rows(ids, g, 9), expected, rtol=1e-6)
