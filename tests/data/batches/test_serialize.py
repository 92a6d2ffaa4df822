"""Text, whole numbers and real numbers share one sequence of ids."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.batches.serialize import (
    BINS,
    OFFSET,
    episode_tokens,
    integer_tokens,
    inverse_mu_law,
    mu_law,
    number_tokens,
    numbers_of,
)
from tinylm.errors import ConfigError, DataError


def test_the_ends_of_the_range_by_hand():
    assert number_tokens([-1e9, -256, 0, 256, 1e9]).tolist() == [
        OFFSET,
        OFFSET,
        OFFSET + 512,
        OFFSET + 1023,
        OFFSET + 1023,
    ]
    assert number_tokens([-7.0, 1e300], squeezed=True).tolist() == [OFFSET, OFFSET + 1023]
    assert mu_law(256.0) == 1 and mu_law(0.0) == 0
    assert mu_law(1.0) == pytest.approx(np.log(101) / np.log(25601))  # mu 100, M 256


@given(st.lists(st.floats(-256, 256), max_size=20))
def test_what_is_read_back_lies_in_the_same_bin(values):
    back = numbers_of(number_tokens(values))
    assert np.all(
        np.abs(mu_law(back) - mu_law(np.array(values))) <= 1 / BINS + 1e-12
    )  # half of a bin of width 2 / 1024
    assert np.array_equal(number_tokens(back), number_tokens(values))


@given(st.lists(st.floats(-1, 1), max_size=20))
def test_actions_are_not_squeezed_twice(values):
    assert np.all(
        np.abs(numbers_of(number_tokens(values, squeezed=True), squeezed=True) - values)
        <= 1 / BINS + 1e-12
    )


@given(st.floats(-1, 1))
def test_the_mu_law_has_an_inverse(y):
    assert mu_law(inverse_mu_law(y)) == pytest.approx(y, abs=1e-12)


def test_an_episode_is_one_row_and_actions_are_marked():
    steps = [([[5, 6], number_tokens([0.0])], [[3]]), ([[7]], [[1], [2]])]
    ids, acted = episode_tokens(steps, separator=40000)
    assert ids.tolist() == [5, 6, OFFSET + 512, 40000, 3, 7, 40000, 1, 2]
    assert ids[acted].tolist() == [3, 1, 2]


def test_what_has_no_id_is_refused():
    with pytest.raises(DataError, match="NaN"):
        number_tokens([1.0, np.nan])
    with pytest.raises(DataError, match="from 0 to 1023"):
        integer_tokens([1024])
    with pytest.raises(DataError, match="from 32000"):
        numbers_of([5])
    for separator in OFFSET, OFFSET + BINS - 1:
        with pytest.raises(ConfigError, match="means a number"):
            episode_tokens([], separator=separator)
    for separator in OFFSET - 1, OFFSET + BINS:  # the ids next to those of numbers are free
        assert episode_tokens([([], [])], separator)[0].tolist() == [separator]
