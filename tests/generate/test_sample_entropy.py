"""Typical, epsilon and eta sampling against their definitions."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinylm.backend import Random
from tinylm.generate import sample
from tinylm.generate.sample import Sampling

rows = st.lists(st.integers(-8, 8).map(lambda n: n / 2), min_size=1, max_size=9).map(
    lambda row: np.array([row])
)


def kept(logits):
    return np.flatnonzero(np.isfinite(logits[0])).tolist()


def logs(*p):
    with np.errstate(divide="ignore"):
        return np.log(np.array([p]))


def test_entropy_by_hand():
    # three of 1/4 .. 1/2: 1/2 log 2 + 2 (1/4 log 4) = 1.5 log 2; nothing from the 0
    assert abs(sample.entropy(np.array([[0.5, 0.25, 0.25, 0.0]]))[0, 0] - 1.5 * np.log(2)) < 1e-15


@given(rows, st.floats(0.01, 1.0))
def test_typical_keeps_the_shortest_list_of_tokens_nearest_the_mean_surprise_that_reaches_p(
    logits, p
):
    probability = sample.probabilities(logits)[0]
    distance = np.abs(-np.log(probability) - sample.entropy(probability[None])[0, 0])
    left, rounding = kept(sample.typical(logits, p)), 1e-9
    assert left and probability[left].sum() >= p - rounding
    gone = [i for i in range(logits.size) if i not in left]
    assert all(distance[i] <= distance[j] + rounding for i in left for j in gone)
    farthest = max(left, key=lambda i: distance[i])
    assert probability[left].sum() - probability[farthest] < p + rounding


def test_typical_may_drop_the_most_probable_token():
    # surprises 0.92 and 2.30 (six times), entropy 1.75: 2.30 is 0.56 away and 0.92 is 0.83 away;
    # four tokens pass 0.35
    left = kept(sample.typical(logs(0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1), 0.35))
    assert left == [1, 2, 3, 4]


@given(rows, st.floats(0.0, 1.0))
def test_epsilon_keeps_what_is_probable_enough_and_always_the_best(logits, e):
    probability = sample.probabilities(logits)[0]
    left, rounding = kept(sample.epsilon(logits, e)), 1e-12
    assert int(np.argmax(logits)) in left
    rest = set(left) - {int(np.argmax(logits))}
    assert rest <= set(np.flatnonzero(probability >= e - rounding))
    assert set(np.flatnonzero(probability >= e + rounding)) <= set(left)


def test_eta_is_epsilon_at_a_bound_that_falls_with_entropy():
    sharp, flat = logs(0.97, 0.01, 0.01, 0.01), logs(0.25, 0.25, 0.25, 0.25)
    # sharp: entropy 0.168, bound min(0.04, 0.2 e^-0.168 = 0.169) = 0.04; flat: min(0.3, sqrt(.3) /
    # 4 = 0.137) = 0.137
    assert kept(sample.eta(sharp, 0.04)) == [0]
    assert kept(sample.eta(flat, 0.3)) == [0, 1, 2, 3] and kept(sample.epsilon(flat, 0.3)) == [0]


def test_tokens_ruled_out_before_stay_out():
    masked = np.array([[0.0, -np.inf, 0.0, -1.0]])
    for keep in sample.typical, sample.epsilon, sample.eta:
        assert 1 not in kept(keep(masked, 0.9))


def test_they_come_last_and_draws_follow_the_renormalized_distribution(assert_sampled_from):
    logits = logs(0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)
    n = 20_000
    drawn = sample.draw_inverse(
        np.broadcast_to(sample.filtered(logits, Sampling(typical_p=0.35)), (n, 7)),
        Random(4).uniform(n, np.float64),
    )
    assert_sampled_from(np.bincount(drawn, minlength=7), np.array([0, 1, 1, 1, 1, 0, 0]) / 4)
    options = Sampling(top_p=0.95, typical_p=0.7, epsilon=0.05, eta=0.1)
    by_hand = sample.eta(sample.epsilon(sample.typical(sample.top_p(logits, 0.95), 0.7), 0.05), 0.1)
    np.testing.assert_array_equal(sample.filtered(logits, options), by_hand)
