"""Sources in the proportions asked for, and the same ones after resuming."""
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.mix.mixture import MixtureSampler, epochs, mixture_weights
from tinylm.errors import ConfigError

SIZES = st.lists(st.floats(1, 1e12), min_size=1, max_size=6)


@given(SIZES)
def test_temperature_goes_from_the_largest_over_the_proportional_to_the_uniform(sizes):
    shares = np.array(sizes) / sum(sizes)
    np.testing.assert_allclose(mixture_weights(sizes, 1.0), shares, rtol=1e-9)
    np.testing.assert_allclose(mixture_weights(sizes, math.inf), 1 / len(sizes))
    np.testing.assert_allclose(mixture_weights(sizes, 1e9), 1 / len(sizes), rtol=1e-6)     # sizes differ by e^28 at most
    assert mixture_weights(sizes, 0.5).max() >= shares.max() - 1e-12


def test_the_formula_by_hand():
    # sizes 100 and 1, T = 2: roots 10 and 1. (Conneau et al. 2020 with alpha = 0.5)
    np.testing.assert_allclose(mixture_weights([100, 1], 2), [10 / 11, 1 / 11])
    np.testing.assert_allclose(epochs([100, 1], [10 / 11, 1 / 11], 110), [1, 10])          # the small source ten times


def test_draws_have_the_weights():
    sampler, n = MixtureSampler([6, 3, 1], seed=1), 20_000
    counts = np.bincount(sampler.sources(0, n), minlength=3)
    chi_square = ((counts - n * sampler.weights) ** 2 / (n * sampler.weights)).sum()
    assert chi_square < 13.8                                # 2 degrees of freedom: exceeded once in 1000 by chance


@given(st.integers(0, 5000), st.integers(0, 3000))
def test_a_draw_depends_on_its_position_alone(first, count):
    sampler = MixtureSampler([1, 2], seed=3)
    assert sampler.sources(first, count).tolist() == sampler.sources(0, first + count)[first:].tolist()


def test_documents_are_mixed_and_resumed():
    makers = [lambda: iter("abc"), lambda: iter("XY")]
    whole = list(itertools.islice(MixtureSampler([3, 2]).mix(makers), 40))
    assert [d for s, d in whole if s == 0][:7] == list("abcabca")       # begins anew when it is through
    assert list(itertools.islice(MixtureSampler([3, 2]).mix(makers, first=25), 15)) == whole[25:]


def test_impossible_mixtures_are_refused():
    with pytest.raises(ConfigError, match="every source needs a positive number"):
        mixture_weights([1, 0])
    with pytest.raises(ConfigError, match="temperature is 0"):
        mixture_weights([1, 2], 0)
    with pytest.raises(ConfigError, match="source 0 has no document"):
        next(MixtureSampler([1]).mix([list]))
    with pytest.raises(ConfigError, match="2 sources for 1 weights"):
        next(MixtureSampler([1]).mix([list, list]))
