"""Small models together: averages, votes, stacking."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.align.weak_to_strong import Stacking, average, jury, majority_vote
from tinylm.errors import ConfigError, ShapeError
from tinylm.prompt.ensemble.means import geometric_mean
from tinylm.prompt.ensemble.self_consistency import majority_law

# Two members of three labels; the mean of each kind has another best label.
LOGS = np.log([[[0.70, 0.25, 0.05]], [[0.02, 0.25, 0.73]]])


def random_logs(members, n, classes, seed):
    return np.log(np.random.default_rng(seed).dirichlet(np.ones(classes), size=(members, n)))


def test_two_means_can_disagree():
    arithmetic, geometric = np.exp(average(LOGS)), np.exp(average(LOGS, mean=geometric_mean))
    np.testing.assert_allclose(arithmetic, [[0.36, 0.25, 0.39]])
    assert arithmetic.argmax() == 2 and geometric.argmax() == 1
    np.testing.assert_allclose(geometric.sum(), 1.0)


def test_all_the_weight_on_one_member_gives_that_member():
    for mean in (None, geometric_mean):
        options = {"mean": mean} if mean else {}
        np.testing.assert_allclose(average(LOGS, [0, 2], **options), LOGS[1], atol=1e-12)


@given(st.integers(1, 4), st.integers(0, 99))
def test_the_arithmetic_mean_is_at_least_as_good_as_its_members_on_average(members, seed):
    logs, labels = random_logs(members, 6, 3, seed), np.arange(6) % 3
    weights = np.random.default_rng(seed).random(members) + 0.1
    each = -logs[:, np.arange(6), labels].mean(axis=1)  # (M,) cross-entropies
    whole = -average(logs, weights)[np.arange(6), labels].mean()
    assert whole <= each @ (weights / weights.sum()) + 1e-12  # Jensen


def test_most_votes_win_and_ties_go_to_the_smallest_label():
    votes = [[0, 2, 1, 0], [1, 2, 0, 0], [1, 0, 2, 3]]
    assert majority_vote(votes).tolist() == [1, 2, 0, 0]
    assert majority_vote([[2]], classes=5).tolist() == [2]
    for odd in ([0, 1], np.zeros((0, 3), int)):
        with pytest.raises(ShapeError, match="need"):
            majority_vote(odd)


@pytest.mark.parametrize("M", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("p", [0.3, 0.5, 0.7])
def test_a_jury_of_equal_voters_has_the_binomial_tail(M, p):
    assert jury([p] * M) == pytest.approx(majority_law(p, M), rel=1e-12)


def test_condorcets_law():
    assert jury([0.6] * 3) == pytest.approx(0.6**3 + 3 * 0.6**2 * 0.4)
    good, bad = [[jury([p] * M) for M in (1, 3, 5, 25)] for p in (0.6, 0.4)]
    assert good == sorted(good) and bad == sorted(bad, reverse=True)
    assert jury([0.5] * 9) == pytest.approx(0.5)
    assert jury([0.6] * 2) == pytest.approx(0.6)  # a coin decides a tie: no better than one


def test_a_jury_is_the_law_of_its_votes_by_enumeration():
    accuracies, total = [0.9, 0.6, 0.2], 0.0
    for bits in itertools.product([0, 1], repeat=3):
        chance = np.prod([p if bit else 1 - p for p, bit in zip(accuracies, bits)])
        # the vote itself: label 1 is right
        total += chance * (majority_vote(np.array(bits)[:, None])[0] == 1)
    assert jury(accuracies) == pytest.approx(total)
    assert jury([1.0, 0.0]) == 0.5


@pytest.mark.parametrize("accuracies", [[], [1.1], [-0.1, 0.5], [float("nan")]])
def test_a_jury_needs_probabilities(accuracies):
    with pytest.raises(ConfigError, match="from 0 to 1"):
        jury(accuracies)


def two_specialists(n, seed):
    """Member 0 is right and sure of labels 0 and 1 alone, member 1 of labels 2 and 3."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(4, size=n)
    probabilities = np.full((2, n, 4), 0.25)
    for member in (0, 1):
        knows = labels // 2 == member
        probabilities[member, knows] = 0.02
        probabilities[member, np.flatnonzero(knows), labels[knows]] = 0.94
        wrong = rng.integers(4, size=n)  # elsewhere it guesses, and is surer than it should be
        probabilities[member, ~knows] = 0.01
        probabilities[member, np.flatnonzero(~knows), wrong[~knows]] = 0.97
    return np.log(probabilities), labels


def test_stacking_learns_whom_to_trust():
    stacked = Stacking(2, 4).fit(*two_specialists(200, 0), epochs=60)
    logs, labels = two_specialists(400, 1)
    own = [(one.argmax(axis=1) == labels).mean() for one in logs]
    mean = (average(logs).argmax(axis=1) == labels).mean()
    found = (stacked.predict(logs) == labels).mean()
    assert found > mean + 0.1 and found > max(own) + 0.1
    assert stacked.logits(logs).shape == (400, 4)


def test_stacking_is_one_batch_without_decay_unless_told_otherwise():
    logs, labels = two_specialists(20, 0)

    def scores(**options):
        return Stacking(2, 4).fit(logs, labels, epochs=5, **options).logits(logs)

    plain = scores(batch_size=20, weight_decay=0.0, seed=0, learning_rate=0.05)
    np.testing.assert_array_equal(scores(), plain)
    for other in ({"batch_size": 10}, {"weight_decay": 0.5}, {"learning_rate": 0.1}):
        assert not np.allclose(scores(**other), plain)


def test_stacking_one_model_is_a_monotone_map_of_its_probability():
    logs = random_logs(1, 300, 2, 0)
    p = np.exp(logs[0, :, 1])
    # labels drawn from its own probabilities: it is calibrated, so more probable is more often true
    labels = (np.random.default_rng(1).random(300) < p).astype(int)
    scores = Stacking(1, 2).fit(logs, labels, epochs=150).logits(logs)
    margin = (scores[:, 1] - scores[:, 0])[p.argsort()]
    assert (np.diff(margin) > 0).all()
    assert margin[0] < 0 < margin[-1]


def test_probability_zero_is_a_finite_feature():
    with np.errstate(divide="ignore"):
        logs = np.log([[[1.0, 0.0], [0.0, 1.0]]])
    assert Stacking(1, 2).fit(logs, [0, 1], epochs=50).predict(logs).tolist() == [0, 1]


def test_shapes_are_checked():
    with pytest.raises(ShapeError, match=r"need \(2, n, 4\)"):
        Stacking(2, 4).predict(np.zeros((1, 3, 4)))
    with pytest.raises(ShapeError, match="2 labels for 3 examples"):
        Stacking(1, 4).fit(np.zeros((1, 3, 4)), [0, 1])
