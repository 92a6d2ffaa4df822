"""Accuracy under refinement is a Markov chain of two states, with the limit a / (a + b)."""

import numpy as np
import pytest

from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.prompt.refine.markov import RefinementChain


def test_the_curve_by_hand():
    # a = 1/2, b = 1/4: from 0 to 1/2, then 1/2 * 3/4 + 1/2 * 1/2 = 5/8, then 5/8 * 3/4 + 3/16.
    curve = RefinementChain(0.5, 0.25).curve(0.0, 3)
    np.testing.assert_allclose(curve, [0, 1 / 2, 5 / 8, 21 / 32], rtol=0, atol=1e-15)


def test_the_curve_is_the_closed_form():
    chain = RefinementChain(0.3, 0.1)
    limit = chain.limit(0.9)
    assert limit == pytest.approx(0.75)  # 0.3 / 0.4
    t = np.arange(8)
    wanted = limit + (0.9 - limit) * (1 - 0.3 - 0.1) ** t
    np.testing.assert_allclose(chain.curve(0.9, 7), wanted, rtol=0, atol=1e-12)


def test_the_limit_is_the_same_from_every_start_and_may_lie_below_it():
    chain = RefinementChain(0.2, 0.2)
    for start in (0.0, 0.5, 0.9):
        assert chain.curve(start, 80)[-1] == pytest.approx(chain.limit(start)) == 0.5
    assert chain.curve(0.9, 1)[1] < 0.9  # more right answers to break than wrong ones to fix


def test_chains_at_the_ends_of_the_range():
    still = RefinementChain(0, 0)
    assert still.limit(0.3) == 0.3
    assert still.curve(0.3, 2).tolist() == [0.3, 0.3, 0.3]
    assert RefinementChain(0.5, 0).limit(0.1) == 1.0  # what is right stays right
    assert RefinementChain(0, 0.5).limit(0.9) == 0.0
    turning = RefinementChain(1, 1)
    np.testing.assert_allclose(turning.curve(0.25, 2), [0.25, 0.75, 0.25])
    with pytest.raises(ConfigError, match="no limit"):
        turning.limit(0.25)


@pytest.mark.parametrize("fix, harm, name", [(1.1, 0, "fix"), (0, -0.1, "harm")])
def test_probabilities_are_checked(fix, harm, name):
    with pytest.raises(ConfigError, match=f"{name} is a probability"):
        RefinementChain(fix, harm)


def test_simulated_accuracy_follows_the_curve():
    chain = RefinementChain(0.3, 0.1)
    n = 20_000
    right = np.arange(n) < 0.2 * n
    states = chain.simulate(right, 6, np.random.default_rng(0))
    assert states.shape == (7, n)
    # Binomial noise: 4 standard errors of at most 1 / (2 sqrt n).
    np.testing.assert_allclose(states.mean(1), chain.curve(0.2, 6), rtol=0, atol=2 / n**0.5)


def test_a_certain_chain_is_simulated_without_chance():
    right = np.array([True, False, True])
    rng = np.random.default_rng(0)
    assert RefinementChain(1, 0).simulate(right, 1, rng)[1].all()
    assert not RefinementChain(0, 1).simulate(right, 1, rng)[1].any()
    assert RefinementChain(0, 0).simulate(right, 2, rng)[2].tolist() == right.tolist()


def test_the_chain_of_a_record_is_its_shares():
    # Before iteration 1: three right, one wrong, which is fixed; one right breaks. Before 2: three
    # right, of which none breaks; one wrong, not fixed. So fix = 1/2, harm = 1/6.
    states = [[1, 1, 1, 0], [1, 1, 0, 1], [1, 1, 0, 1]]
    chain = RefinementChain.measured(states)
    assert (chain.fix, chain.harm) == (pytest.approx(1 / 2), pytest.approx(1 / 6))


def test_a_simulated_record_gives_its_chain_back():
    chain = RefinementChain(0.3, 0.1)
    right = np.arange(5000) % 2 == 0
    found = RefinementChain.measured(chain.simulate(right, 8, np.random.default_rng(1)))
    # About 12,000 wrong and 28,000 right before an iteration: 4 standard errors are below 0.017.
    assert found.fix == pytest.approx(0.3, abs=0.017)
    assert found.harm == pytest.approx(0.1, abs=0.017)


def test_records_that_leave_a_probability_open_are_refused():
    with pytest.raises(DataError, match="3 right and 0 wrong"):
        RefinementChain.measured([[1, 1, 1], [1, 0, 1]])
    with pytest.raises(DataError, match="0 right and 2 wrong"):
        RefinementChain.measured([[0, 0], [1, 0]])
    with pytest.raises(ShapeError, match="at least one iteration"):
        RefinementChain.measured([[1, 0]])
    with pytest.raises(ShapeError, match="at least one iteration"):
        RefinementChain.measured([1, 0])
