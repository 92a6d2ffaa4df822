"""Samples without replacement against their exact probabilities; the estimator's exact mean."""

import numpy as np
import pytest

from tinylm.backend import Random
from tinylm.errors import ConfigError, ShapeError
from tinylm.generate import EnumerableLM, conditional_logprob
from tinylm.generate.strategies.stochastic_beam import (
    Draw,
    gumbel_given_maximum,
    importance_weights,
    ordered_sample_probabilities,
    stochastic_beam_search,
)


def test_ordered_probabilities_by_hand_and_in_sum():
    exact = ordered_sample_probabilities([0.5, 0.3, 0.2], 2)
    assert abs(exact[0, 1] - 0.5 * 0.3 / 0.5) < 1e-15 and abs(exact[2, 0] - 0.2 * 0.5 / 0.8) < 1e-15
    assert abs(sum(exact.values()) - 1) < 1e-14


def test_noise_under_a_maximum_has_it_and_stays_below():
    location = Random(0).normal((50, 6), np.float64)
    uniform = Random(1).uniform((50, 6), np.float64)
    location[:, 2] = -np.inf
    maximum = Random(2).normal((50,), np.float64)
    noisy = gumbel_given_maximum(location, maximum, uniform)
    np.testing.assert_array_equal(noisy.max(axis=1), maximum)
    assert np.isneginf(noisy[:, 2]).all() and np.isfinite(np.delete(noisy, 2, axis=1)).all()


def test_samples_are_different_strings_with_their_own_scores():
    lm = EnumerableLM.random(3, 3, seed=4, eos=2)
    draws = stochastic_beam_search(lm, [0], 3, 8, Random(0), eos=2)
    assert len({draw.tokens for draw in draws}) == 8
    assert [draw.noisy for draw in draws] == sorted((draw.noisy for draw in draws), reverse=True)
    assert all(
        abs(draw.logprob - conditional_logprob(lm, [0], draw.tokens)) < 1e-12 for draw in draws
    )


def test_asked_for_more_than_there_are_it_gives_them_all():
    lm = EnumerableLM.random(2, 3, seed=0)
    assert len(stochastic_beam_search(lm, [0], 3, 20, Random(0))) == 2**3


@pytest.mark.slow
def test_ordered_samples_have_the_probabilities_of_drawing_without_replacement(assert_sampled_from):
    lm = EnumerableLM.random(3, 2, seed=5, eos=2)  # strings: 2, and 0 or 1 followed by 0, 1, 2
    strings, probabilities = lm.all_strings()
    names = [tuple(s[: s.index(2) + 1] if 2 in s else s) for s in strings.tolist()]
    exact = ordered_sample_probabilities(probabilities, 3)  # 7 x 6 x 5 = 210 ordered samples
    place = {tuple(names[i] for i in order): at for at, order in enumerate(exact)}
    counts, rng = np.zeros(len(exact)), Random(9)
    for _ in range(8000):
        counts[
            place[tuple(draw.tokens for draw in stochastic_beam_search(lm, [0], 2, 3, rng, eos=2))]
        ] += 1
    assert_sampled_from(counts, list(exact.values()))


def test_the_weighted_sum_is_an_unbiased_estimate():
    # f = 1 + length of the string in tokens 0; the mean of n independent estimates is within 5 of
    # its standard errors of the exact mean but once in 1.7 million
    lm = EnumerableLM.random(3, 2, seed=6)
    exact, rng = lm.expectation(lambda y: 1 + (y == 0).sum()), Random(3)
    estimates = []
    for _ in range(1500):
        draws = stochastic_beam_search(lm, [0], 2, 4, rng)
        values = np.array([1 + draw.tokens.count(0) for draw in draws[:-1]])
        estimates.append(importance_weights(draws) @ values)
    error = np.std(estimates) / len(estimates) ** 0.5
    assert abs(np.mean(estimates) - exact) < 5 * error


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="k 0"):
        stochastic_beam_search(EnumerableLM.random(2, 2), [0], 2, 0, Random(0))
    with pytest.raises(ShapeError, match="at least two"):
        importance_weights([Draw((0,), -1.0, 0.0)])
