"""Positions from sorted keys are those of a stable argsort, nan, zeros of both signs and all."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.autograd.primitives import sorting
from tinylm.autograd.primitives.sorting import (
    ascending,
    exact_largest,
    exact_order,
    largest_first,
)

STRANGE = [0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1.0, -1.0, 1e-40, -1e-40, 3e38]


@given(
    shape=hnp.array_shapes(min_dims=1, max_dims=3, max_side=9),
    dtype=st.sampled_from(["float16", "float32", "float64", "int64", "uint8"]),
    data=st.data(),
)
def test_orders_are_those_of_a_stable_argsort(shape, dtype, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    with np.errstate(invalid="ignore", over="ignore"):
        a = rng.choice(np.array(STRANGE), shape).astype(dtype)  # many equal values
    kept = a.copy()
    np.testing.assert_array_equal(ascending(a, axis), exact_order(a, axis))
    k = data.draw(st.integers(1, shape[axis]))
    np.testing.assert_array_equal(largest_first(a, k, axis), exact_largest(a, k, axis))
    np.testing.assert_array_equal(a, kept)


@pytest.mark.parametrize("k", [1, 8, 300])
def test_ordinary_numbers_of_long_rows_and_of_columns(k, rng):
    a = rng.normal(size=(300, 400)).astype(np.float32)
    for axis in (0, 1):
        np.testing.assert_array_equal(ascending(a, axis), np.argsort(a, axis, kind="stable"))
        found = largest_first(a, k, axis)
        expected = np.take(np.argsort(-a, axis, kind="stable"), np.arange(k), axis)
        np.testing.assert_array_equal(found, expected)


def test_float32_is_sorted_by_keys(monkeypatch, rng):
    """np.argsort is what takes the time."""
    monkeypatch.delattr(sorting.np, "argsort")
    a = rng.normal(size=(3, 5)).astype(np.float32)
    assert ascending(a, 1).shape == (3, 5) and largest_first(a, 2, 1).shape == (3, 2)
    with pytest.raises(AttributeError):
        ascending(a.astype(float), 1)
