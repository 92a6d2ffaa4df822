"""Samples that are kept are samples of the optimal policy."""

import numpy as np
import pytest

from tinylm.align.inference import acceptance, rejection_law, statistical_rejection_sample
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


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="a reward is 1.0, above the maximum 0.5"):
        acceptance(REWARD, BETA, maximum=0.5)
    with pytest.raises(ConfigError, match="beta 0 must be above 0"):
        acceptance(REWARD, 0)
    with pytest.raises(DataError, match="the reward of sample 1 is nan"):
        acceptance([1.0, np.nan, 0.0], BETA, maximum=2.0)
