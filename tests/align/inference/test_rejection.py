"""Samples that are kept are samples of the optimal policy."""

import itertools

import numpy as np
import pytest

from tinylm.align.inference import (
    acceptance,
    accepted_candidates,
    rejection_law,
    statistical_rejection_sample,
)
from tinylm.errors import ConfigError, DataError

# ref, r, beta of the specification, with Z = 4.0215951061.
REF, REWARD, BETA, Z = np.array([0.5, 0.3, 0.2]), np.array([1.0, 0.0, -1.0]), 0.5, 4.0215951061


def test_the_law_of_kept_samples_is_the_optimal_policy():
    law, share = rejection_law(REF, REWARD, BETA)
    np.testing.assert_allclose(law, [0.918672, 0.074597, 0.006730], rtol=0, atol=5e-7)
    assert share == pytest.approx(Z * np.exp(-1 / BETA))


def test_a_greater_maximum_keeps_fewer_samples_of_the_same_law():
    law, share = rejection_law(REF, REWARD, BETA)
    higher, fewer = rejection_law(REF, REWARD, BETA, maximum=2.0)
    np.testing.assert_allclose(higher, law, rtol=1e-14)
    assert fewer == pytest.approx(share * np.exp(-1 / BETA))


def test_beta_goes_from_the_best_to_the_reference():
    np.testing.assert_allclose(rejection_law(REF, REWARD, 1e-3)[0], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(rejection_law(REF, REWARD, 1e9)[0], REF, atol=1e-8)
    np.testing.assert_array_equal(acceptance([3.0, 3.0], 0.1), [1, 1])


def test_each_sample_is_kept_with_its_probability():
    """Uniform numbers of a generator that counts: below a(y) keeps."""

    class Counting:
        def uniform(self, size):
            return np.full(size, 0.2)

    # a = 1, e^-2 = .135, e^-1 = .368
    kept = statistical_rejection_sample([1.0, 0.0, 0.5], 0.5, Counting())
    assert kept.tolist() == [True, False, True]
    assert statistical_rejection_sample([0.0], 0.5, Counting(), maximum=1.0).tolist() == [False]


def test_a_response_of_reward_minus_infinity_is_never_kept():
    class Lowest:
        def uniform(self, size):
            return np.zeros(size)  # the least that a generator gives

    kept = statistical_rejection_sample([-np.inf, 0.0], 1.0, Lowest())
    assert kept.tolist() == [False, True]


def test_kept_samples_have_the_optimal_frequencies():
    """20,000 samples of the reference, of which .544 are kept: shares within 5 deviations."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(3, 20000, p=REF)
    kept = drawn[statistical_rejection_sample(REWARD[drawn], BETA, rng, maximum=1.0)]
    law, share = rejection_law(REF, REWARD, BETA)
    assert abs(len(kept) / 20000 - share) < 5 * np.sqrt(share * (1 - share) / 20000)
    found = np.bincount(kept, minlength=3) / len(kept)
    assert (np.abs(found - law) < 5 * np.sqrt(law * (1 - law) / len(kept))).all()


class Given:
    """A generator of these uniform numbers, pass after pass."""

    def __init__(self, *passes):
        self.passes = list(passes)

    def uniform(self, size):
        assert size == len(self.passes[0])  # of the candidates that are left
        return np.array(self.passes.pop(0))


def test_passes_are_made_until_there_are_enough_candidates():
    """a = e^-1, 1, e^-2, e^-1 of rewards 0.5, 1, 0, 0.5 with beta .5."""
    rewards = [0.5, 1.0, 0.0, 0.5]
    rng = Given([0.2, 0.9, 0.2, 0.5], [0.9, 0.9], [0.99])
    # .2 < .368 and .9 < 1; then 0.5 is the best that is left, and the last is alone
    assert accepted_candidates(rewards, 0.5, 4, rng).tolist() == [0, 1, 3, 2]
    # what is kept beyond the number is left out, in the order of the candidates
    assert accepted_candidates(rewards, 0.5, 1, Given([0.2, 0.9, 0.2, 0.5])).tolist() == [0]
    assert accepted_candidates([], 0.5, 0, Given()).tolist() == []
    for given, count in ((rewards, 5), ([0.0, -np.inf], 2)):
        with pytest.raises(ConfigError, match="candidates are to be kept: draw more"):
            accepted_candidates(given, 0.5, count, Given())
    for wrong in (np.nan, np.inf):
        with pytest.raises(DataError, match=f"the reward of sample 1 is {wrong}"):
            accepted_candidates([0.0, wrong], 0.5, 1, Given())


def test_with_more_candidates_the_first_kept_comes_near_the_optimal_policy():
    """Its law exactly: all candidates and all uniform numbers on a grid that hits every a(y)."""
    rewards = 0.5 * np.log([1.0, 0.5, 0.25])  # a = 1, 1/2, 1/4, or 1, 1/2 without the best
    grid = np.array([1, 3, 5, 7]) / 8
    best, _ = rejection_law(REF, rewards, 0.5)
    far = []
    for n in (1, 2, 3):
        law = np.zeros(3)
        for drawn in itertools.product(range(3), repeat=n):
            for numbers in itertools.product(grid, repeat=n):
                given = rewards[list(drawn)], 0.5, 1, Given(numbers)
                law[drawn[accepted_candidates(*given)[0]]] += REF[list(drawn)].prod() / 4**n
        assert law.sum() == pytest.approx(1)
        far.append(np.abs(law - best).sum() / 2)
        if n == 1:
            np.testing.assert_allclose(law, REF)  # one candidate is always kept
    # the chance that the best is not among n falls as 2^-n
    assert far[0] > far[1] > far[2] and far[2] < 0.5 * far[0]


def test_the_first_of_many_candidates_has_the_optimal_frequencies():
    """40 candidates lack the best with 1e-12: shares of 4000 within 5 deviations."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(3, (4000, 40), p=REF)
    kept = [one[accepted_candidates(REWARD[one], BETA, 1, rng)[0]] for one in drawn]
    law, _ = rejection_law(REF, REWARD, BETA)
    found = np.bincount(kept, minlength=3) / 4000
    assert (np.abs(found - law) < 5 * np.sqrt(law * (1 - law) / 4000)).all()


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="a reward is 1.0, above the maximum 0.5"):
        acceptance(REWARD, BETA, maximum=0.5)
    with pytest.raises(ConfigError, match="beta 0 must be above 0"):
        acceptance(REWARD, 0)
    with pytest.raises(DataError, match="the reward of sample 1 is nan"):
        acceptance([1.0, np.nan, 0.0], BETA, maximum=2.0)
