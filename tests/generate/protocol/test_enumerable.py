"""EnumerableLM: the model whose every expectation is a finite sum."""

import numpy as np
import pytest

from tinylm.errors import ConfigError, ShapeError
from tinylm.generate import EnumerableLM, sequence_logprob


@pytest.mark.parametrize("eos", [None, 2])
def test_probabilities_of_all_strings_sum_to_one(eos):
    for bos in range(4):
        strings, probabilities = EnumerableLM.random(4, 3, seed=1, eos=eos).all_strings(bos)
        assert abs(probabilities.sum() - 1) < 1e-12
        # without eos 4^3; with it 3^3 that never end, and 1 + 3 + 9 that end at the first, second,
        # third token
        assert len(strings) == (64 if eos is None else 27 + 13)


def test_nothing_but_eos_follows_eos():
    lm = EnumerableLM.random(3, 4, eos=1)
    np.testing.assert_array_equal(np.exp(lm.next_logits(np.array([[0, 2, 1]]))), [[0, 1, 0]])
    assert (lm.tables[2][0, 2, 1] == [0, 1, 0]).all() and (
        lm.tables[2][1, 2, 2] > 0
    ).all()  # x_0 = eos does not end


def test_probability_is_the_exponential_of_the_logprob():
    lm = EnumerableLM.random(3, 4, seed=5)
    strings, probabilities = lm.all_strings(bos=1)
    with_start = np.concatenate([np.ones((len(strings), 1), int), strings], axis=1)
    np.testing.assert_allclose(np.exp(sequence_logprob(lm, with_start)), probabilities, rtol=1e-12)


def test_expectation_of_an_indicator_is_the_marginal():
    lm = EnumerableLM.random(3, 3, seed=2)
    first = lm.expectation(lambda string: string[0] == 2)
    assert abs(first - lm.tables[0][0, 2]) < 1e-12


def test_cached_padded_and_cropped_reading_gives_the_same():
    lm, ids = EnumerableLM.random(4, 4, seed=3), np.array([[1, 2, 0, 3]])
    whole, cache = lm.logits(ids), lm.new_cache(2, padding=[0, 1])
    out = lm.logits(np.array([[1, 2], [3, 1]]), cache)
    np.testing.assert_array_equal(out[0], whole[0, :2])
    np.testing.assert_array_equal(out[1, 1], whole[0, 0])
    cache.select([1])
    np.testing.assert_array_equal(lm.next_logits(np.array([[2]]), cache)[0], whole[0, 1])
    cache.crop(2)
    np.testing.assert_array_equal(lm.logits(np.array([[2, 0]]), cache)[0], whole[0, 1:3])


def test_the_same_seed_gives_the_same_tables_and_another_seed_others():
    a, b, c = (EnumerableLM.random(3, 2, seed=seed).tables[1] for seed in (0, 0, 1))
    assert (a == b).all() and (a != c).any()


def test_scores_of_random_tables_have_the_variance_of_the_spread():
    # log-probabilities of a row are independent normal numbers but for their mean, so a row of 5
    # has their variance with 4 degrees of freedom. Over the 625 rows of x_0 .. x_3 its mean is
    # within 4 * sqrt(2 / 4 / 625) = 0.11 of spread^2, as a share.
    for options, spread in ({}, 1), ({"spread": 2.0}, 2), ({"spread": 0.1}, 0.1):
        rows = np.log(EnumerableLM.random(5, 4, seed=7, **options).tables[3])
        assert rows.var(axis=-1, ddof=1).mean() / spread**2 == pytest.approx(1, abs=0.11)


@pytest.mark.parametrize("size, length", [(2, 1), (5, 4), (2, 4), (5, 1)])
def test_random_tables_may_have_2_to_5_tokens_and_1_to_4_steps(size, length):
    lm = EnumerableLM.random(size, length)
    assert (lm.vocab_size, lm.context) == (size, length)
    # The table of step i is read at x_0 .. x_{i-1} and holds the next token.
    assert [table.shape for table in lm.tables] == [(size,) * (i + 2) for i in range(length)]


@pytest.mark.parametrize("size, length", [(1, 2), (6, 2), (2, 0), (2, 5)])
def test_random_tables_of_other_sizes_are_refused(size, length):
    with pytest.raises(ConfigError, match="2-5 and 1-4"):
        EnumerableLM.random(size, length)


def test_what_reads_in_a_second_call_stands_in_its_own_columns():
    lm, ids = EnumerableLM.random(3, 4, seed=9), np.array([[2, 0, 1, 1], [0, 0, 2, 1]])
    whole, cache = lm.logits(ids), lm.new_cache(2)
    parts = [lm.logits(ids[:, a:b], cache) for a, b in ((0, 1), (1, 3), (3, 4))]
    assert [part.shape for part in parts] == [(2, 1, 3), (2, 2, 3), (2, 1, 3)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    np.testing.assert_array_equal(lm.next_logits(ids), whole[:, -1])


def test_bad_tables_and_sizes_are_refused():
    with pytest.raises(ConfigError, match="sum to 1"):
        EnumerableLM([np.full((2, 2), 0.4)])
    with pytest.raises(ConfigError, match="sum to 1"):
        EnumerableLM([np.array([[1.5, -0.5], [1.0, 0.0]])])  # the sums are right, a number is not
    EnumerableLM([np.array([[1.0, 0.0], [0.5, 0.5]])])  # a token may be impossible
    with pytest.raises(ConfigError, match=r"must be \(2, 2, 2\)"):
        EnumerableLM([np.full((2, 2), 0.5)] * 2)
    with pytest.raises(ShapeError, match="past the context of 2"):
        EnumerableLM.random(3, 2).logits(np.array([[0, 1, 2]]))
