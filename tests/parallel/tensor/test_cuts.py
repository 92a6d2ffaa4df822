"""Cuts: shares put together are the whole, and heads go with the keys they read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.parallel.tensor.cuts import Along, ByHead, Whole, shared_heads


@given(size=st.integers(1, 5), length=st.integers(1, 13), axis=st.integers(0, 1))
def test_shares_along_an_axis_are_the_whole(size, length, axis):
    whole = np.arange(length * 3.0).reshape((length, 3) if axis == 0 else (3, length))
    cut = Along(axis)
    shares = [cut.take(whole, rank, size) for rank in range(size)]
    np.testing.assert_array_equal(cut.join(shares), whole)
    lengths = [share.shape[axis] for share in shares]
    assert max(lengths) - min(lengths) <= 1 and sum(lengths) == length


@given(
    groups=st.integers(1, 5), per_group=st.integers(1, 3), width=st.integers(1, 3), data=st.data()
)
def test_heads_of_all_ranks_are_the_whole(groups, per_group, width, data):
    size, packed = data.draw(st.integers(1, groups)), data.draw(st.booleans())
    heads = groups * per_group
    whole = np.arange((heads + 2 * groups * packed) * width)
    cut = ByHead(0, heads, groups, packed)
    shares = [cut.take(whole, rank, size) for rank in range(size)]
    np.testing.assert_array_equal(cut.join(shares), whole)
    counts = [shared_heads(groups, heads, rank, size) for rank in range(size)]
    assert sum(h for h, _ in counts) == heads and sum(g for _, g in counts) == groups
    for share, (h, g) in zip(shares, counts):
        assert h == g * per_group and len(share) == (h + 2 * g * packed) * width


def test_a_rank_has_the_keys_and_values_that_its_queries_read():
    """Six query heads, three of keys and values, width 1: q0..q5 k0..k2 v0..v2."""
    names = np.array("q0 q1 q2 q3 q4 q5 k0 k1 k2 v0 v1 v2".split())
    cut = ByHead(0, 6, 3, True)
    assert cut.take(names, 0, 2).tolist() == ["q0", "q1", "k0", "v0"]
    assert cut.take(names, 1, 2).tolist() == ["q2", "q3", "q4", "q5", "k1", "k2", "v1", "v2"]
    plain = ByHead(0, 6, 3, False)
    assert plain.take(names[:6], 1, 3).tolist() == ["q2", "q3"]


@pytest.mark.parametrize("summed", [False, True])
def test_what_is_whole_is_on_every_rank(summed):
    array = np.arange(3)
    assert Whole(summed).take(array, 1, 2) is array and Whole(summed).join([array, array]) is array
