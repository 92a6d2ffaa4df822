"""RoPE beyond its length: what each scheme does to the first and the last pair, and the numbers of
the worked examples.
"""

import inspect

import numpy as np
import pytest

from tests.numeric import host, plain
from tinylm.backend import Random
from tinylm.errors import ConfigError
from tinylm.nn import rotary_angles
from tinylm.nn.position.rotary import rotary_frequencies
from tinylm.nn.position.rotary_forms import rotary_periods
from tinylm.nn.position.rotary_scaling import (
    SCALINGS,
    dynamic_ntk,
    interpolate_positions,
    interpolated,
    longrope,
    ntk,
    ntk_base,
    scaled_rotary_angles,
    search_factors,
    yarn,
    yarn_by_index,
    yarn_magnitude,
)

K = 64
PLAIN = rotary_frequencies(K)
SETTINGS = {
    "none": {},
    "linear": {"factor": 1.0},
    "ntk": {"factor": 1.0},
    "dynamic_ntk": {"trained": 512, "length": 100},
    "yarn": {"factor": 1.0, "trained": 512},
    "yarn_by_index": {"factor": 1.0, "trained": 512},
    "llama3": {"factor": 1.0, "trained": 512, "base": 10000.0},
    "longrope": {"factors": [1.0] * (K // 2)},
    "longrope_by_length": {"short": [1.0] * (K // 2), "long": [2.0] * (K // 2), "trained": 512},
}


def test_twice_the_range_is_pressed_into_the_trained_one():
    np.testing.assert_array_equal(
        interpolate_positions(np.arange(1, 21), 10, 20), np.arange(1, 21) / 2
    )
    assert interpolate_positions(np.array([20]), 10, 20).max() == 10  # exactly the last trained one
    np.testing.assert_array_equal(interpolate_positions(np.arange(7), 10, 7), np.arange(7))


def test_interpolating_positions_frequencies_or_periods_is_the_same(device):
    positions = np.arange(20)
    by_position = rotary_angles(
        plain(interpolate_positions(positions, 10, 20), device), K, dtype=np.float64
    )
    by_frequency = scaled_rotary_angles(
        plain(positions, device), K, "linear", dtype=np.float64, factor=2.0
    )
    for ours, theirs in zip(by_position, by_frequency):
        np.testing.assert_allclose(host(ours), host(theirs), atol=1e-14)
    np.testing.assert_allclose(
        rotary_periods(interpolated(K, factor=2.0)[0]), 2 * rotary_periods(PLAIN), rtol=1e-14
    )


def test_position_15_of_20_behaves_as_7_and_a_half_of_10():
    new = scaled_rotary_angles(np.array([15]), K, "linear", dtype=np.float64, factor=2.0)
    old = rotary_angles(np.array([7.5]), K, dtype=np.float64)
    np.testing.assert_allclose(new, old, atol=1e-15)


DEFAULTS = {
    "none": dict(base=10000.0),  # Su et al. 2021
    "linear": dict(base=10000.0),
    "ntk": dict(base=10000.0),
    "dynamic_ntk": dict(base=10000.0, factor=1.0),  # the plain rule s = m / m_l
    "yarn": dict(base=10000.0, fast=32.0, slow=1.0),  # Peng et al. 2024, section 3.2
    "yarn_by_index": dict(base=10000.0, fast=32.0, slow=1.0, magnitude=None),
    "llama3": dict(base=500000.0, low=1.0, high=4.0),  # LLaMA 3 (Dubey et al. 2024)
    "longrope": dict(base=10000.0, factor=1.0),
    "longrope_by_length": dict(base=10000.0, factor=1.0, magnitude=None),
}


@pytest.mark.parametrize("name", SCALINGS)
def test_defaults_are_those_of_the_papers(name):
    parameters = inspect.signature(SCALINGS[name]).parameters
    assert {key: parameters[key].default for key in DEFAULTS[name]} == DEFAULTS[name]


@pytest.mark.parametrize("name", SCALINGS)
def test_a_factor_of_one_changes_nothing(name, device):
    expected = rotary_angles(plain(np.arange(9), device), K)
    for ours, theirs in zip(
        scaled_rotary_angles(plain(np.arange(9), device), K, name, **SETTINGS[name]), expected
    ):
        np.testing.assert_array_equal(host(ours), host(theirs))


def test_schemes_by_length_look_at_the_last_position():
    factors = {"short": [1.0] * (K // 2), "long": [4.0] * (K // 2), "trained": 8}
    for positions, divided_by in (np.arange(8), 1.0), (np.arange(9), 4.0), (np.array([8]), 4.0):
        found = scaled_rotary_angles(positions, K, "longrope_by_length", **factors)
        np.testing.assert_array_equal(
            found, scaled_rotary_angles(positions, K, "linear", factor=divided_by)
        )
    for length, factor in (
        (8, 1.0),
        (12, 2.0),
    ):  # factor 2 takes 12 of 8 for 24 of 16: s = 2 * 12 / 8 - 1
        found = scaled_rotary_angles(np.arange(length), K, "dynamic_ntk", trained=8, factor=2.0)
        np.testing.assert_array_equal(
            found, scaled_rotary_angles(np.arange(length), K, "ntk", factor=factor)
        )


@pytest.mark.parametrize(
    "width, factor, scale",
    [
        (8, 2, 2.519842),
        (8, 4, 6.349604),
        (8, 8, 16),
        (64, 2, 2.045223),
        (64, 4, 4.182937),
        (64, 8, 8.555038),
        (128, 2, 2.022126),
        (128, 4, 4.088994),
        (128, 8, 8.268462),
    ],
)
def test_the_scale_of_the_base(width, factor, scale):
    assert ntk_base(width, 10000.0, factor) == pytest.approx(
        10000 * scale, rel=2e-7
    )  # six printed decimals


def test_a_larger_base_leaves_the_first_pair_and_interpolates_the_last():
    ratios = rotary_frequencies(8) / ntk(8, factor=2.0)[0]
    np.testing.assert_allclose(ratios, [1, 1.259921, 1.587401, 2], atol=5e-7)
    k = np.arange(K // 2)
    np.testing.assert_allclose(PLAIN / ntk(K, factor=4.0)[0], 4.0 ** (k / (K // 2 - 1)), rtol=1e-12)


def test_a_single_pair_has_no_base_to_scale():
    with pytest.raises(ConfigError, match="use linear"):
        ntk(2, factor=2.0)


def test_dynamic_scaling_begins_when_the_trained_length_is_passed():
    np.testing.assert_array_equal(dynamic_ntk(K, trained=512, length=512)[0], PLAIN)
    np.testing.assert_array_equal(
        dynamic_ntk(K, trained=512, length=1024)[0], ntk(K, factor=2.0)[0]
    )


def test_keys_turned_before_dynamic_scaling_grew_do_not_fit_those_after():
    # A cache of rotated keys is stale as soon as the frequencies change; the first pair alone never
    # does.
    cos = [np.cos(100 * dynamic_ntk(K, trained=512, length=n)[0]) for n in (600, 1200)]
    assert cos[0][0] == cos[1][0] and np.abs(cos[0] - cos[1]).max() > 0.1


@pytest.mark.parametrize("scheme", [yarn, yarn_by_index])
def test_yarn_keeps_fast_pairs_interpolates_slow_ones_and_ramps_between(scheme):
    new, magnitude = scheme(K, factor=8.0, trained=2048)
    kept = (new - PLAIN / 8) / (PLAIN - PLAIN / 8)  # 1: as trained, 0: interpolated
    turns_made = 2048 / rotary_periods(PLAIN)
    assert (np.diff(kept) <= 1e-12).all()
    np.testing.assert_allclose(
        kept[turns_made < 0.7], 0, atol=1e-12
    )  # rounding of the index reaches
    np.testing.assert_allclose(kept[turns_made > 45], 1, rtol=1e-12)  # a pair beyond 1 and 32 turns
    assert ((kept > 0.01) & (kept < 0.99)).sum() > 5
    assert magnitude == pytest.approx(0.1 * np.log(8) + 1)


def test_yarn_by_turns_ramps_linearly_in_the_turns():
    # K = 2 and base irrelevant: one pair of frequency 1 makes 2048 / 2 pi = 326 turns; between 226
    # and 426: half kept
    done = 2048 / (2 * np.pi)
    assert yarn(2, factor=4.0, trained=2048, slow=done - 100, fast=done + 100)[0] == pytest.approx(
        0.5 + 0.5 / 4
    )


def test_yarn_by_index_ramps_linearly_between_two_pairs():
    def kept(width=8, base=10.0, **settings):
        """The share of its frequency that each pair keeps; the rest is divided by 2."""
        plain = rotary_frequencies(width, base)
        new, _ = yarn_by_index(width, base, factor=2.0, **settings)
        return (2 * new / plain - 1).tolist()

    # With K = 8 and base 10, pair k makes n / (2 pi 10^(k/4)) turns in n positions, whether there
    # is such a pair or not: for n = 200 pi it makes 100 at 0, 10 at 4, 1 at 8. The ramp stops at
    # index K - 1 = 7, as in the authors' code, although the last pair is 3.
    n = 200 * np.pi
    assert kept(trained=n, fast=100.1, slow=1.1) == pytest.approx([1, 6 / 7, 5 / 7, 4 / 7])
    # It starts at pair 0 at the latest: 1000 turns would be made at index -4.
    assert kept(trained=n, fast=1000.0, slow=10.1) == pytest.approx([1, 3 / 4, 2 / 4, 1 / 4])
    # 56.2 turns are made at index 1 and 31.6 at 2: nothing lies between 1 and 2, nor between 0 and
    # 0 where even pair 0 makes less than one turn.
    assert kept(trained=n, fast=50.0, slow=40.0) == pytest.approx([1, 1, 0, 0])
    assert kept(trained=1.9 * np.pi) == pytest.approx([1, 0, 0, 0])


def test_the_magnitude_of_yarn_is_a_temperature_of_the_scores():
    # cosine and sine of queries and of keys grow by m, so every score grows by m^2
    settings = dict(dtype=np.float64, factor=4.0, trained=512)
    cos, sin = scaled_rotary_angles(np.arange(5), K, "yarn", **settings)
    cos1, sin1 = scaled_rotary_angles(np.arange(5), K, "longrope", factors=[1.0] * 32, **settings)
    np.testing.assert_allclose(cos**2 + sin**2, yarn_magnitude(4.0) ** 2, rtol=1e-14)
    # LongRoPE's rule instead: sqrt(1 + ln 4 / ln 512) with 4 = 2^2, 512 = 2^9
    np.testing.assert_allclose(cos1**2 + sin1**2, 1 + 2 / 9, rtol=1e-14)
    # from any growth on: ln 1.5 / ln 1.5^8 = 1/8
    slight = longrope(K, factors=[1.0] * 32, factor=1.5, trained=1.5**8)
    assert slight[1] ** 2 == pytest.approx(1 + 1 / 8)


def test_equal_factors_of_longrope_are_position_interpolation():
    np.testing.assert_array_equal(
        longrope(K, factors=np.full(K // 2, 4.0))[0], interpolated(K, factor=4.0)[0]
    )
    with pytest.raises(ConfigError, match="32"):
        longrope(K, factors=[1.0])


def test_the_first_tokens_can_keep_their_angles(device):
    positions = plain(np.array([[0, 1, 2, 3], [2, 3, 4, 5]]), device)
    cos, sin = scaled_rotary_angles(
        positions, 4, "linear", keep_first=3, dtype=np.float64, factor=2.0
    )
    old, new = (
        rotary_angles(plain(np.arange(6.0) / s, device), 4, dtype=np.float64) for s in (1, 2)
    )
    for ours, before, after in zip((cos, sin), old, new):
        np.testing.assert_allclose(
            host(ours)[0, 0], [*host(before)[:3], host(after)[3]], atol=1e-15
        )
        np.testing.assert_allclose(
            host(ours)[1, 0], [host(before)[2], *host(after)[3:]], atol=1e-15
        )


def test_the_search_for_factors_is_never_worse_than_where_it_began():
    best = np.exp(
        np.linspace(0, np.log(4), 8)
    )  # factors the score likes best, and no first tokens kept

    def score(factors, keep_first):
        return float(((np.log(factors) - np.log(best)) ** 2).sum()) + keep_first

    start = [np.full(8, 4.0)]
    factors, first, found = search_factors(
        score, start, 4.0, Random(0), rounds=40, keep_first=(0, 2)
    )
    assert found == score(factors, first) and found < score(start[0], 0) / 4 and first == 0
    assert (np.diff(factors) >= 0).all() and factors.min() >= 1 and factors.max() <= 4
    assert search_factors(score, start, 4.0, Random(0), rounds=0)[2] == score(start[0], 0)


def test_a_search_scores_every_start_and_every_child_once():
    seen = []

    def score(factors, keep_first):
        seen.append((factors.copy(), keep_first))
        return 7.0

    start = [np.full(2, 4.0), np.full(2, 3.0)]
    found = search_factors(score, start, 4.0, Random(0), keep_first=(0, 2))
    assert len(seen) == 2 * 2 + 10 * 8  # starts x first tokens, then 10 rounds of 8 children
    assert {first for _, first in seen[4:]} == {0, 2}
    # What is equally good does not replace what was found before.
    np.testing.assert_array_equal(found[0], start[0])
    assert found[1:] == (0, 7.0)


def test_a_search_goes_on_from_the_better_start():
    def score(factors, keep_first):
        return factors.sum() + keep_first

    worse, better = np.full(3, 4.0), np.full(3, 2.0)
    for start in [worse, better], [better, worse]:
        factors, first, found = search_factors(score, start, 4.0, Random(0), 0, keep_first=(5, 1))
        np.testing.assert_array_equal(factors, better)
        assert (first, found) == (1, 3 * 2 + 1)


def test_children_of_a_search_differ_by_a_fifth_and_stay_within_their_bounds():
    def children(start, limit):
        seen = []
        search_factors(lambda f, _: seen.append(f[0]) or 0.0, [[start]], limit, Random(0), 1, 2000)
        return np.log(seen[1:])

    # Factors stay in [1, s]: of children of 1 one half is cut off there, and so at s.
    assert np.mean(children(1.0, 4.0) == 0) == pytest.approx(
        0.5, abs=0.04
    )  # 0.5 / sqrt(2000) = 0.011
    assert np.mean(children(4.0, 4.0) == np.log(4.0)) == pytest.approx(0.5, abs=0.04)
    free = children(100.0, 1e4)  # the bounds are far: 4.6 / 0.2 = 23 deviations
    assert np.std(free) == pytest.approx(0.2, rel=0.06)  # 2000 draws: known within 1.6 %
    assert np.mean(free) == pytest.approx(np.log(100), abs=0.02)  # 0.2 / sqrt(2000) = 0.0045


def test_unknown_schemes_and_shrinking_factors_are_refused():
    with pytest.raises(ConfigError, match="yarn"):
        scaled_rotary_angles(np.arange(3), 8, "spline")
    with pytest.raises(ConfigError, match="at least 1"):
        interpolated(8, factor=0.5)
