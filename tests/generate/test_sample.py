"""Filters and sampling, each against its definition; draws against exact distributions by
chi-square.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.backend import Random
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.generate import sample
from tinylm.generate.sample import Sampling, Uniforms, without_effect

INF = np.inf
# Whole and half numbers: ties come often, and adding to them is exact.
rows = st.lists(st.integers(-8, 8).map(lambda n: n / 2), min_size=1, max_size=9).map(
    lambda row: np.array([row])
)


def kept(logits):
    return np.flatnonzero(np.isfinite(logits[0])).tolist()


@given(rows, st.integers(1, 12))
def test_top_k_keeps_the_k_first_in_order_of_logit_then_id(logits, k):
    best = sorted(range(logits.size), key=lambda i: (-logits[0, i], i))[:k]
    assert kept(sample.top_k(logits, k)) == sorted(best)


@given(rows, st.floats(0.01, 1.0))
def test_top_p_keeps_the_shortest_list_of_best_tokens_that_reaches_p(logits, p):
    probabilities = sample.probabilities(logits)[0]
    best = sorted(range(logits.size), key=lambda i: (-logits[0, i], i))
    left = kept(sample.top_p(logits, p))
    assert left == sorted(best[: len(left)])  # the best ones, nothing skipped
    rounding = 1e-9
    assert probabilities[left].sum() >= p - rounding
    assert probabilities[best[: len(left) - 1]].sum() < p + rounding  # one fewer would not do


@given(rows, st.floats(0.0, 1.0))
def test_min_p_keeps_what_is_at_least_p_times_the_best(logits, p):
    probabilities = sample.probabilities(logits)[0]
    ratios, rounding = probabilities / probabilities.max(), 1e-12
    left = kept(sample.min_p(logits, p))
    assert (
        set(np.flatnonzero(ratios >= p + rounding))
        <= set(left)
        <= set(np.flatnonzero(ratios >= p - rounding))
    )
    assert int(np.argmax(logits)) in left


def test_filters_work_row_by_row():
    logits = np.array([[3.0, 1.0, 2.0, 0.0], [0.0, 5.0, 5.0, 5.0], [1.0, 1.0, 1.0, 1.0]])
    for keep in (
        lambda x: sample.top_k(x, 2),
        lambda x: sample.top_p(x, 0.7),
        lambda x: sample.min_p(x, 0.5),
        lambda x: sample.temperature(x, 0.3),
    ):
        np.testing.assert_array_equal(
            keep(logits), np.concatenate([keep(row[None]) for row in logits])
        )


def test_temperature_divides_and_stays_finite_where_division_would_overflow():
    logits = np.array([[1e30, 0.0, -1e30]], np.float32)
    assert sample.probabilities(sample.temperature(logits, 1e-20)).tolist() == [[1, 0, 0]]
    # 1e-300 is 0 in float32: the limit is still the most probable token.
    x = np.array([[1.0, 2.0, 4.0]], np.float32)
    assert sample.probabilities(sample.temperature(x, 1e-300)).tolist() == [[0, 0, 1]]
    x = np.array([[1.0, 2.0, 4.0]])
    halved = sample.probabilities(sample.temperature(x, 2.0))
    np.testing.assert_allclose(halved, sample.probabilities(x / 2), rtol=1e-14)
    # an infinite temperature is uniform; 1e9 is within 4/1e9 of it, 4 the range of logits
    np.testing.assert_allclose(sample.probabilities(sample.temperature(x, 1e9)), 1 / 3, rtol=4e-9)


def test_repetition_penalty_pushes_down_what_was_seen_whatever_its_sign():
    logits = np.array([[2.0, -2.0, 2.0, -2.0]])
    seen = sample.seen_tokens([[0, 1, 1]], 4)
    np.testing.assert_array_equal(sample.repetition_penalty(logits, seen, 2.0), [[1, -4, 2, -2]])
    np.testing.assert_array_equal(sample.repetition_penalty(logits, seen, 1.0), logits)


def test_filters_apply_in_the_documented_order():
    logits, seen = np.array([[4.0, 3.0, 2.0, 1.0, 0.0]]), sample.seen_tokens([[0]], 5)
    options = Sampling(temperature=2.0, top_k=4, top_p=0.8, min_p=0.5, repetition_penalty=4.0)
    by_hand = sample.min_p(
        sample.top_p(
            sample.top_k(sample.temperature(sample.repetition_penalty(logits, seen, 4.0), 2.0), 4),
            0.8,
        ),
        0.5,
    )
    np.testing.assert_array_equal(sample.filtered(logits, options, seen), by_hand)
    with pytest.raises(ShapeError, match="needs `seen`"):
        sample.filtered(logits, options)


def test_greedy_takes_the_lowest_id_of_equals():
    assert sample.greedy(np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 0.0]])).tolist() == [1, 0]


def test_greedy_is_temperature_zero_is_top_k_one_and_the_limit_of_small_temperatures():
    logits = Random(0).normal((50, 7), np.float64)
    best = logits.argmax(axis=1)
    streams = [Uniforms(r) for r in range(50)]
    # at 1e-6 a gap of 1e-4 between the best two is already e^-100; these 50 rows have none smaller
    for options in (
        {"temperature": 0},
        {"top_k": 1},
        {"temperature": 1e-6},
        {"top_p": 1e-9},
        {"min_p": 1.0},
    ):
        assert (sample.choose(logits, Sampling(**options), streams) == best).all()


@given(rows, st.floats(0, 1, exclude_max=True))
def test_draw_inverts_the_cumulative_distribution(logits, u):
    token = int(sample.draw_inverse(logits, [u])[0])
    heights = np.cumsum(sample.probabilities(logits)[0])
    rounding = 1e-12
    assert heights[token] > u - rounding and (token == 0 or heights[token - 1] <= u + rounding)


def test_a_draw_does_not_depend_on_the_level_of_the_scores():
    logits, u = np.array([[0.0, 1.0, -1.0, 2.0]]), 0.5
    token = sample.draw_inverse(logits, [u])
    for level in -2000.0, 2000.0:  # e^2000 overflows, e^-2000 is 0
        assert sample.draw_inverse(logits + level, [u]) == token


def test_draw_never_takes_a_token_of_probability_zero():
    logits = np.array([[-INF, 0.0, -INF, 1.0, -INF]])
    for u in 0.0, np.nextafter(1.0, 0.0):  # the ends of the range
        assert sample.draw_inverse(logits, [u])[0] in (1, 3)


N = 40_000


def test_draw_and_gumbel_sample_the_same_exact_distribution(assert_sampled_from):
    logits = np.array([0.0, 1.5, -2.0, 0.3, -INF, 0.9])
    exact, many = sample.probabilities(logits[None])[0], np.broadcast_to(logits, (N, 6))
    rng = Random(3)
    assert_sampled_from(
        np.bincount(sample.draw_inverse(many, rng.uniform(N, np.float64)), minlength=6), exact
    )
    assert_sampled_from(
        np.bincount(sample.draw_gumbel(many, rng.uniform((N, 6), np.float64)), minlength=6), exact
    )


def test_filtered_draws_follow_the_renormalized_distribution(assert_sampled_from):
    logits = np.log(np.array([[0.4, 0.3, 0.2, 0.06, 0.04]]))
    options = Sampling(
        top_k=4, top_p=0.9
    )  # 0.04 goes; of the rest (sum 0.96) 0.9 is reached by three
    drawn = sample.draw_inverse(
        np.broadcast_to(sample.filtered(logits, options), (N, 5)), Random(4).uniform(N, np.float64)
    )
    assert_sampled_from(np.bincount(drawn, minlength=5), np.array([4, 3, 2, 0, 0]) / 9)


def test_a_biased_sampler_is_caught(assert_sampled_from):
    exact = np.array([0.25, 0.25, 0.25, 0.25])
    counts = np.round(
        N * np.array([0.265, 0.25, 0.25, 0.235])
    )  # chi-square 72 over 4 cells; the bound is 33
    with pytest.raises(AssertionError, match="chi-square"):
        assert_sampled_from(counts, exact)


def test_streams_are_their_seed():
    first, again, other = (
        [stream.next() for _ in range(100)] for stream in map(Uniforms, (1, 1, 2))
    )
    assert first == again != other
    assert all(0 <= u < 1 for u in first)


@pytest.mark.parametrize(
    "bad",
    [
        {"temperature": -1},
        {"temperature": float("nan")},
        {"top_k": 0},
        {"top_k": 2.5},
        {"top_p": 0},
        {"top_p": 1.1},
        {"min_p": -0.1},
        {"repetition_penalty": 0},
    ],
    ids=str,
)
def test_impossible_options_are_refused_by_name(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Sampling(**bad)


@pytest.mark.parametrize("row", [[np.nan, 1.0], [INF, 1.0], [-INF, -INF]], ids=str)
@pytest.mark.parametrize("options", [Sampling(), Sampling(temperature=0)], ids=["drawn", "greedy"])
def test_logits_that_are_not_finite_are_one_clear_error(row, options):
    with pytest.raises(DataError, match="row 1 of the logits"):
        sample.choose(np.array([[0.0, 1.0], row]), options, [Uniforms(0), Uniforms(1)])


def test_filters_of_the_most_probable_token_are_without_effect():
    assert without_effect({"temperature": 0, "top_k": 5, "eta": 0.1}) == ["top_k", "eta"]
    assert without_effect({"top_k": 1, "temperature": 0.7, "top_p": 0.9}) == [
        "temperature",
        "top_p",
    ]
    # A penalty changes which token is the most probable, and other settings are no filters.
    assert without_effect({"temperature": 0, "repetition_penalty": 2.0, "num": 1}) == []
    assert without_effect({"temperature": 0.5, "top_k": 2, "top_p": 0.9}) == []
    assert without_effect({"temperature": 0, "top_p": None}) == []
    # As in Sampling: what it takes greedily does not depend on them.
    assert Sampling(temperature=0, top_p=0.9).is_greedy and Sampling(top_k=1).is_greedy


def test_a_penalty_that_overflows_is_refused():
    for penalty in (1e-300, 0.009, 101.0):
        with pytest.raises(ConfigError, match="repetition_penalty must be between 0.01 and 100"):
            Sampling(repetition_penalty=penalty)
    assert Sampling(repetition_penalty=0.01) and Sampling(repetition_penalty=100.0)
