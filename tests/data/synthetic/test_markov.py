"""Synthetic corpora have the entropy they claim."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.synthetic.markov import MarkovChain, back_copy, copy_task, cycle
from tinylm.errors import DataError


@given(st.integers(1, 12), st.integers(0, 50), st.floats(0, 4))
def test_stationary_distribution_is_kept_by_a_step(V, seed, sharpness):
    chain = MarkovChain.random(V, seed, sharpness)
    pi = chain.stationary()
    np.testing.assert_allclose(pi @ chain.transition, pi, atol=1e-12)
    assert pi.sum() == pytest.approx(1) and (pi > -1e-12).all()
    assert -1e-12 <= chain.entropy_rate() <= np.log(V) + 1e-12


def test_entropy_rate_of_known_chains():
    # Two states, leaving with a = 1/4 and b = 1/2: pi = (b, a) / (a + b) = (2/3, 1/3).
    chain = MarkovChain([[0.75, 0.25], [0.5, 0.5]])
    by_hand = -2 / 3 * (0.75 * np.log(0.75) + 0.25 * np.log(0.25)) + 1 / 3 * np.log(2)
    assert chain.entropy_rate() == pytest.approx(by_hand, rel=1e-12)
    assert MarkovChain(np.full((5, 5), 0.2)).entropy_rate() == pytest.approx(np.log(5), rel=1e-12)
    assert MarkovChain(np.roll(np.eye(4), 1, axis=1)).entropy_rate() == pytest.approx(0, abs=1e-12)


def test_a_sample_costs_its_own_chain_the_entropy_rate():
    chain, n = MarkovChain.random(6, seed=0), 40_000
    sample = chain.sample(n, seed=1)
    surprise = -np.log(chain.transition[sample[:-1], sample[1:]])
    # The mean of n draws is within 4 standard errors, doubled for what neighbors share.
    assert abs(surprise.mean() - chain.entropy_rate()) < 4 * 2 * surprise.std() / n**0.5
    assert (chain.sample(n, seed=1) == sample).all() and (chain.sample(n, seed=2) != sample).any()


def test_transitions_that_are_no_distribution_are_refused():
    for bad in ([[0.5, 0.4], [0.5, 0.5]], [[1.5, -0.5], [0.5, 0.5]], [[1.0, 0.0]]):
        with pytest.raises(DataError, match="rows summing to 1"):
            MarkovChain(bad)


def test_a_cycle_repeats_and_each_token_decides_the_next():
    assert cycle(3, 7, start=1).tolist() == [1, 2, 0, 1, 2, 0, 1]


@given(st.integers(1, 6), st.integers(0, 9), st.integers(2, 9), st.integers(0, 5))
def test_a_copy_is_the_string_a_separator_and_the_string(rows, length, V, seed):
    batch = copy_task(rows, length, V, seed)
    assert batch.shape == (rows, 2 * length + 1) and (batch[:, length] == V - 1).all()
    assert (batch[:, :length] == batch[:, length + 1 :]).all()
    assert length == 0 or batch[:, :length].max() < V - 1


def test_the_chain_of_a_text_has_its_bigrams():
    chain = MarkovChain.of_text(np.array([0, 1, 0, 1, 0, 2] * 1000), 4)
    # after 0: 1 twice, 2 once; after 1 always 0; nothing is known of 3. A hundredth is added.
    np.testing.assert_allclose(chain.transition[0], [0, 2 / 3, 1 / 3, 0], atol=1e-5)
    np.testing.assert_allclose(chain.transition[1], [1, 0, 0, 0], atol=1e-4)
    np.testing.assert_allclose(chain.transition[3], 0.25)


@given(seed=st.integers(0, 50), V=st.integers(2, 9))
def test_after_a_trigger_stands_what_stood_before_it(seed, V):
    rows = back_copy(MarkovChain.random(V, seed), [1, V - 1], 20, 30, seed)
    before, trigger, after = rows[:, :-2], rows[:, 1:-1], rows[:, 2:]
    follows = np.isin(trigger, [1, V - 1])
    assert rows.shape == (20, 30) and (after == before)[follows].all()
    assert (rows == back_copy(MarkovChain.random(V, seed), [1, V - 1], 20, 30, seed)).all()


def test_after_other_tokens_the_chain_goes_on():
    chain, n = MarkovChain.random(5, seed=0), 400
    rows = back_copy(chain, [4], n, 100, seed=1)
    for last in range(4):
        follow = rows[:, 1:][rows[:, :-1] == last]
        shares = np.bincount(follow, minlength=5) / len(follow)
        # within 4 standard errors of a share of thousands of draws
        assert (abs(shares - chain.transition[last]) < 4 * (0.25 / len(follow)) ** 0.5).all()
    # without triggers it is the chain, and its loss the entropy rate
    plain = back_copy(chain, [], n, 100, seed=1)
    surprise = -np.log(chain.transition[plain[:, :-1], plain[:, 1:]])
    assert abs(surprise.mean() - chain.entropy_rate()) < 4 * 2 * surprise.std() / surprise.size**0.5


def test_a_trigger_that_begins_a_row_has_nothing_to_copy():
    rows = back_copy(MarkovChain.random(3, seed=0), [0, 1, 2], 50, 6, seed=0)
    assert (rows[:, ::2] == rows[:, :1]).all() and (rows[:, 1::2] == rows[:, 1:2]).all()
    assert len(set(rows[:, 1])) > 1
