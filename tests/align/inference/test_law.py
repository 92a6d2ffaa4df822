"""The law of best-of-n is that of a maximum, and its price is at most log n - (n - 1) / n."""

import itertools
import math

import numpy as np
import pytest

from tinylm.align.inference import (
    best_of_n_kl,
    best_of_n_law,
    expected_best,
    kl_bound,
    over_optimization_curve,
)
from tinylm.errors import ConfigError, ShapeError

P, R = np.array([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 2.0])


def listed(p, rewards, n):
    """The law by listing all K^n sets of samples: of the best ones the first is taken."""
    law = np.zeros(len(p))
    for chosen in itertools.product(range(len(p)), repeat=n):
        best = max(chosen, key=lambda i: rewards[i])  # max returns the first of equals
        law[best] += np.prod(p[list(chosen)])
    return law


@pytest.mark.parametrize(
    "n, law, reward, kl",
    [
        (1, (0.5, 0.3, 0.2), 0.7, 0.0),
        (2, (0.25, 0.39, 0.36), 1.11, 0.1406384674),
        (4, (0.0625, 0.3471, 0.5904), 1.5279, 0.5597505604),
    ],
)
def test_the_worked_example(n, law, reward, kl):
    np.testing.assert_allclose(best_of_n_law(P, R, n), law, rtol=0, atol=1e-14)
    assert expected_best(P, R, n) == pytest.approx(reward, abs=1e-14)
    assert best_of_n_kl(P, R, n) == pytest.approx(kl, abs=5e-11)


@pytest.mark.parametrize("rewards", [(0, 1, 2, 3), (2, 0, 1, 1), (1, 1, 1, 1), (3, -1, 3, 0)])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_the_law_is_that_of_all_sets_of_samples(rewards, n):
    """In any order of rewards, with equal ones too; one response has no probability."""
    p = np.array([0.4, 0.0, 0.35, 0.25])
    np.testing.assert_allclose(best_of_n_law(p, rewards, n), listed(p, rewards, n), atol=1e-15)


def test_the_printed_bounds():
    for n, bound in ((2, 0.193147), (4, 0.636294), (8, 1.204442), (16, 1.835089)):
        assert kl_bound(n) == pytest.approx(bound, abs=5e-7)
    assert kl_bound(1) == 0


def test_the_price_is_within_its_bound_and_reaches_it_for_many_rare_responses():
    rng = np.random.default_rng(0)
    for n in (2, 5, 16):
        p = rng.dirichlet(np.ones(6))
        assert 0 < best_of_n_kl(p, rng.normal(size=6), n) < kl_bound(n)
        many = np.full(20000, 1 / 20000)
        assert best_of_n_kl(many, np.arange(20000), n) == pytest.approx(kl_bound(n), abs=1e-3)


def test_more_samples_never_lower_the_expected_reward():
    rng = np.random.default_rng(1)
    p, rewards = rng.dirichlet(np.ones(7)), rng.normal(size=7)
    gains = np.diff([expected_best(p, rewards, n) for n in range(1, 40)])
    assert (gains > 0).all()
    assert expected_best(p, rewards, 10**4) == pytest.approx(rewards.max(), abs=1e-9)


def test_equal_rewards_change_nothing():
    np.testing.assert_allclose(best_of_n_law(P, np.zeros(3), 8), P, atol=1e-15)
    assert best_of_n_kl(P, np.zeros(3), 8) == pytest.approx(0, abs=1e-15)


def test_rounding_does_not_grow_with_the_number_of_samples():
    """Ten times .1 is 1 - 1e-16, to the power of 10^14 it would be .99."""
    law = best_of_n_law(np.full(10, 0.1), np.arange(10), 10**14)
    assert law[-1] == pytest.approx(1, rel=1e-15)
    assert np.abs(law[:-1]).max() == 0


def test_the_law_depends_on_the_order_of_rewards_alone():
    np.testing.assert_array_equal(best_of_n_law(P, R, 3), best_of_n_law(P, [-5, 0.1, 1e6], 3))


def test_a_price_needs_no_probability_everywhere():
    assert best_of_n_kl([0.5, 0.5, 0.0], [0, 1, 2], 2) == pytest.approx(
        0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    )


def test_what_cannot_be_is_refused():
    with pytest.raises(ShapeError, match=r"\(K,\) twice"):
        best_of_n_law(P, R[:2], 2)
    with pytest.raises(ShapeError, match=r"\(1, 3\)"):
        best_of_n_law([P], [R], 2)
    with pytest.raises(ConfigError, match="n is 1 or more"):
        best_of_n_law(P, R, 0)


def test_choosing_harder_by_an_imperfect_reward_lowers_the_true_one_in_the_end():
    """A rare response that only the proxy likes takes over as n grows."""
    p, gold = np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.0, 1.0, 2.0, -5.0])
    proxy = np.array([0.0, 1.0, 2.0, 3.0])
    found = over_optimization_curve(p, proxy, gold, [1, 2, 64])
    # n = 2: .5^2, .8^2 - .5^2, .95^2 - .8^2, 1 - .95^2 = .25, .39, .2625, .0975
    law = np.array([0.25, 0.39, 0.2625, 0.0975])
    np.testing.assert_allclose(found[0], [0, p @ proxy, p @ gold], atol=1e-15)
    np.testing.assert_allclose(found[1], [law @ np.log(law / p), law @ proxy, law @ gold])
    divergence, by_proxy, wanted = over_optimization_curve(p, proxy, gold, range(1, 65)).T
    assert (np.diff(divergence) > 0).all() and (np.diff(by_proxy) > 0).all()
    peak = int(wanted.argmax())
    assert 0 < peak < 10 and wanted[-1] < wanted[0] - 3


def test_choosing_by_the_true_reward_leaves_no_gap():
    found = over_optimization_curve(P, R, R, [1, 8, 512])
    np.testing.assert_array_equal(found[:, 1], found[:, 2])
    assert (np.diff(found[:, 2]) > 0).all()
