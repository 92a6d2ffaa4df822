"""Sources in the proportions asked for, and the same ones after resuming."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.clean.ngram import CharNGram
from tinylm.data.mix.mixture import MixtureSampler, epochs, mixture_weights
from tinylm.errors import ConfigError

SIZES = st.lists(st.floats(1, 1e12), min_size=1, max_size=6)


@given(SIZES)
def test_temperature_goes_from_the_largest_over_the_proportional_to_the_uniform(sizes):
    shares = np.array(sizes) / sum(sizes)
    np.testing.assert_allclose(mixture_weights(sizes, 1.0), shares, rtol=1e-9)
    np.testing.assert_allclose(mixture_weights(sizes, math.inf), 1 / len(sizes))
    # sizes differ by e^28 at most
    np.testing.assert_allclose(mixture_weights(sizes, 1e9), 1 / len(sizes), rtol=1e-6)
    assert mixture_weights(sizes, 0.5).max() >= shares.max() - 1e-12


def test_the_formula_by_hand():
    # by default T = 1: by size
    np.testing.assert_allclose(mixture_weights([3, 1]), [0.75, 0.25])
    np.testing.assert_allclose(MixtureSampler([3, 1]).weights, [0.75, 0.25])
    # sizes 100 and 1, T = 2: roots 10 and 1. (Conneau et al. 2020 with alpha = 0.5)
    np.testing.assert_allclose(mixture_weights([100, 1], 2), [10 / 11, 1 / 11])
    # 1 / T = 100 leaves the largest, however far n^100 = 10^1200 overflows
    assert mixture_weights([1e12, 1, 1], 0.01).tolist() == [1, 0, 0]
    # the small source ten times
    np.testing.assert_allclose(epochs([100, 1], [10 / 11, 1 / 11], 110), [1, 10])


def test_draws_have_the_weights():
    sampler, n = MixtureSampler([6, 3, 1], seed=1), 20_000
    counts = np.bincount(sampler.sources(0, n), minlength=3)
    chi_square = ((counts - n * sampler.weights) ** 2 / (n * sampler.weights)).sum()
    assert chi_square < 13.8  # 2 degrees of freedom: exceeded once in 1000 by chance


@given(st.integers(0, 5000), st.integers(0, 3000))
def test_a_draw_depends_on_its_position_alone(first, count):
    sampler = MixtureSampler([1, 2], seed=3)
    assert (
        sampler.sources(first, count).tolist() == sampler.sources(0, first + count)[first:].tolist()
    )


def test_documents_are_mixed_and_resumed():
    makers = [lambda: iter("abc"), lambda: iter("XY")]
    whole = list(itertools.islice(MixtureSampler([3, 2]).mix(makers), 40))
    assert [d for s, d in whole if s == 0][:7] == list("abcabca")  # begins anew when it is through
    assert list(itertools.islice(MixtureSampler([3, 2]).mix(makers, first=25), 15)) == whole[25:]


def test_mixed_documents_come_from_the_sources_that_are_drawn():
    """Each document is of the source named beside it, and the sources are those of sources()."""
    sampler = MixtureSampler([6, 3, 1], seed=1)
    makers = [lambda s=s: iter(s) for s in ("abc", "XY", "7")]
    mixed = list(itertools.islice(sampler.mix(makers), 2500))  # more than two blocks of 1024
    assert [source for source, _ in mixed] == sampler.sources(0, 2500).tolist()
    for source, text in enumerate(("abc", "XY", "7")):
        documents = [d for s, d in mixed if s == source]
        assert documents == list(itertools.islice(itertools.cycle(text), len(documents)))
        assert len(documents) > 100  # one in ten at the least
    for first in (1, 1023, 1024, 1025, 2100):
        assert list(itertools.islice(sampler.mix(makers, first), 300)) == mixed[first : first + 300]


def chain_text(letters, n):
    """Sentences over an alphabet of their own: each letter follows one of two."""
    rng, at, text = np.random.default_rng(n), 0, []
    for step in rng.integers(1, 3, n):
        at = (at + int(step)) % len(letters)
        text.append(letters[at])
    return "".join(text)


def test_a_temperature_gives_to_the_small_language_and_takes_a_little_from_the_large():
    languages = "abcdefgh", "stuvwxyz"
    texts = [[chain_text(letters, 20 + i) for i in range(60)] for letters in languages]
    makers = [lambda texts=texts: iter(texts) for texts in texts]
    bits = []
    for temperature in (1.0, math.inf):
        sampler = MixtureSampler([97, 3], temperature, seed=0)
        model = CharNGram(text for _, text in itertools.islice(sampler.mix(makers), 60))
        bits.append([model.bits_per_character(chain_text(letters, 999)) for letters in languages])
    (large, small), (large_even, small_even) = bits
    assert small_even < small and large_even > large  # one gains, the other pays
    assert small - small_even > large_even - large  # more than the other pays


def test_impossible_mixtures_are_refused():
    for sizes in [1, 0], [1, -1], [1, math.inf], [1, math.nan], [], [[1, 2]]:
        with pytest.raises(ConfigError, match="every source needs a positive number"):
            mixture_weights(sizes)
    for temperature in 0, -1, math.nan:
        with pytest.raises(ConfigError, match=f"temperature is {temperature}"):
            mixture_weights([1, 2], temperature)
    with pytest.raises(ConfigError, match="source 0 has no document"):
        next(MixtureSampler([1]).mix([list]))
    with pytest.raises(ConfigError, match="2 sources for 1 weights"):
        next(MixtureSampler([1]).mix([list, list]))
