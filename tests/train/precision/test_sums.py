"""Orders of addition: each is within its bound, and one of them reaches it."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import ConfigError, ShapeError
from tinylm.train.precision.sums import (
    error_bound,
    exact_sum,
    kahan_bound,
    kahan_sum,
    lane_height,
    lane_sum,
    pairwise_height,
    pairwise_sum,
    part_sum,
    running_height,
    running_sum,
    tree_of_parts,
)

U = 2.0**-24
# of one size: no sum is subnormal, and none overflows
numbers = st.lists(
    st.floats(-1e6, 1e6, width=32).filter(lambda v: v == 0 or abs(v) > 1e-6),
    min_size=1,
    max_size=70,
)


def orders(n):
    """(name, function, height) for n numbers."""
    yield "running", running_sum, running_height(n)
    yield "pairwise", pairwise_sum, pairwise_height(n)
    for lanes in (1, 2, 4, 8, 16):
        yield f"{lanes} lanes", lambda x, lanes=lanes: lane_sum(x, lanes), lane_height(n, lanes)
        if lanes <= n:
            yield f"{lanes} parts", lambda x, p=lanes: part_sum(x, p), lane_height(n, lanes)


@given(numbers)
def test_every_order_is_within_its_bound(values):
    x = np.array(values, np.float32)
    exact = sum(map(Fraction, x.tolist()))
    for name, add, height in orders(len(x)):
        found = add(x)
        assert found.dtype == np.float32
        assert abs(Fraction(float(found)) - exact) <= Fraction(float(error_bound(height, x))), name
    assert abs(Fraction(float(kahan_sum(x))) - exact) <= Fraction(float(kahan_bound(x)))
    assert float(exact_sum(x)) == np.float32(float(exact))


class Counted:
    """A number that knows how many additions its oldest part has passed."""

    def __init__(self, depth=0):
        self.depth = depth

    def __add__(self, other):
        return Counted(max(self.depth, other.depth) + 1)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 13, 64, 100])
def test_heights_are_those_of_the_trees(n):
    x = np.array([Counted() for _ in range(n)], object)
    assert running_sum(x).depth == running_height(n)
    assert pairwise_sum(x).depth == pairwise_height(n) == math.ceil(math.log2(n))
    for parts in {1, min(3, n), n}:
        assert part_sum(x, parts).depth == lane_height(n, parts)


def test_a_running_sum_reaches_its_bound():
    """1 and then half of its last place, again and again: every one is lost. In pairs they add up
    first.
    """
    n = 1 << 12
    x = np.full(n, U, np.float32)
    x[0] = 1
    exact = 1 + (n - 1) * U
    assert running_sum(x) == 1
    assert exact - 1 == pytest.approx(float(error_bound(running_height(n), x)), rel=1e-3)
    assert abs(float(pairwise_sum(x)) - exact) <= 2 * U
    assert abs(float(kahan_sum(x)) - exact) <= 2 * U
    assert float(exact_sum(x)) == np.float32(exact)


def test_bounds_are_those_of_their_formulas():
    """With H u = 1/2, gamma is 1/2 / (1 - 1/2) = 1: all digits may be gone."""
    x = np.array([1, -2, 5], np.float32)
    assert error_bound(1 << 23, x) == 8
    assert error_bound(3, x) == pytest.approx(3 * U * 8, rel=1e-6)
    assert error_bound(3, x.astype(np.float64)) == pytest.approx(3 * 2.0**-53 * 8, rel=1e-12)
    assert kahan_bound(x) == pytest.approx(2 * U * 8, rel=1e-6)
    many = np.ones(1 << 20, np.float32)  # n u = 1/16
    assert kahan_bound(many) == (2 + 2 / 16) * U * 2**20


def test_kahan_s_bound_is_relative_to_the_sizes_and_not_to_the_sum():
    x = np.array([1, 1e8, 1, -1e8], np.float32)  # the sum is 2
    assert kahan_sum(x) == 0 and exact_sum(x) == 2
    assert 2 <= kahan_bound(x)


def test_orders_differ_and_the_exact_sum_does_not():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1000, 3)).astype(np.float32)
    shuffled = [rng.permutation(x) for _ in range(20)]
    running = {running_sum(one).tobytes() for one in shuffled}
    pairwise = {pairwise_sum(one).tobytes() for one in shuffled}
    exact = {exact_sum(one).tobytes() for one in shuffled}
    assert len(running) > 10 and len(pairwise) > 2 and len(exact) == 1
    kinds = {lane_sum(x, lanes).tobytes() for lanes in (1, 4, 8, 16)}
    assert len(kinds) > 1


@pytest.mark.parametrize("n", [512, 500])
def test_a_fixed_tree_does_not_show_the_number_of_workers(n):
    x = np.random.default_rng(1).standard_normal((n, 5)).astype(np.float32)
    whole = pairwise_sum(x)
    for rows in (512, 256, 128, 64, 32, 1):
        parts = [x[first : first + rows] for first in range(0, n, rows)]
        assert tree_of_parts(parts).tobytes() == whole.tobytes()
    uneven = [x[:100], x[100:]]
    assert tree_of_parts(uneven).tobytes() != whole.tobytes()


def test_what_cannot_be_added_is_refused():
    empty = np.zeros(0, np.float32)
    for add in (running_sum, pairwise_sum, kahan_sum, exact_sum, lambda x: lane_sum(x, 2)):
        with pytest.raises(ShapeError, match="needs .n, ....* with n of 1 or more"):
            add(empty)
    with pytest.raises(ConfigError, match="0 lanes"):
        lane_sum(np.ones(3), 0)
    with pytest.raises(ConfigError, match="4 parts of 3 numbers"):
        part_sum(np.ones(3), 4)
    with pytest.raises(ConfigError, match="no bound"):
        error_bound(1 << 24, np.ones(3, np.float32))
