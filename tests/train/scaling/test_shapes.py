"""Curves that are no straight lines: corners, three phases, two descents, and metrics that jump."""

import numpy as np
import pytest

from tinylm.data import MarkovChain
from tinylm.errors import ShapeError
from tinylm.train.scaling.broken import broken_power_law, slope_above_floor, three_phases
from tinylm.train.scaling.double_descent import expected_risk, measured_risk
from tinylm.train.scaling.fits import fit_law
from tinylm.train.scaling.fits_bent import broken_law
from tinylm.train.scaling.laws import power_law
from tinylm.train.scaling.sharp import all_tokens_right, rank_correlation, ranks, sharpness

BREAKS = ((0.4, 1e3, 0.1), (-0.3, 1e7, 0.1))


def test_without_breaks_it_is_the_power_law_with_irreducible_error():
    x = np.geomspace(1, 1e9, 10)
    np.testing.assert_allclose(broken_power_law(x, 1.5, 5, 0.3), power_law(x, 5, -0.3, 1.5))


@pytest.mark.parametrize(
    "x, slope", [(1e0, -0.1), (1e5, -0.5), (1e10, -0.2)]
)  # -c0, -(c0 + c1), -(c0 + c1 + c2)
def test_between_breaks_it_is_straight_with_the_slopes_added_up(x, slope):
    y = [broken_power_law(x * f, 0.0, 5, 0.1, BREAKS) for f in (0.99, 1.01)]
    assert np.diff(np.log(y)) / np.log(1.01 / 0.99) == pytest.approx(slope, abs=1e-6)
    assert slope_above_floor(x, 0.1, BREAKS) == pytest.approx(slope, abs=1e-6)


def test_the_slope_is_the_derivative_at_a_corner_too():
    x = np.geomspace(1e2, 1e4, 9)
    y = [np.log(broken_power_law(x * np.exp(h), 2.0, 5, 0.1, BREAKS) - 2.0) for h in (-1e-5, 1e-5)]
    np.testing.assert_allclose((y[1] - y[0]) / 2e-5, slope_above_floor(x, 0.1, BREAKS), atol=1e-6)
    with pytest.raises(ShapeError, match="breaks"):
        broken_power_law(x, 0, 1, 0, ((1, 2),))


def test_the_three_phases():
    assert three_phases(1e-9, 4.0, 1.0, 1e4, 0.5) == pytest.approx(4.0)  # the best guess
    assert three_phases(1e30, 4.0, 1.0, 1e4, 0.5) == pytest.approx(1.0)  # the irreducible error
    middle = [three_phases(x, 4.0, 0.0, 1e4, 0.5) for x in (1e8, 4e8)]
    assert middle[0] / middle[1] == pytest.approx(2, rel=1e-3)  # 4^0.5


def counting_losses(chain, sizes):
    """Exact loss, under a Markov chain, of pair counts with one added to each, by number of pairs
    counted.
    """
    ids, P, losses = chain.sample(max(sizes) + 1), chain.transition, []
    for size in sizes:
        counts = np.ones(P.shape)
        np.add.at(counts, (ids[:size], ids[1 : size + 1]), 1)
        q = counts / counts.sum(1, keepdims=True)
        losses.append(-float(np.sum(chain.stationary()[:, None] * P * np.log(q))))
    return np.array(losses)


def test_a_learner_of_a_known_source_goes_through_the_three_phases():
    V, sizes = 24, np.array([1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 200_000])
    chain = MarkovChain.random(V)
    losses = counting_losses(chain, sizes)
    assert losses[0] == pytest.approx(
        np.log(V), rel=0.01
    )  # the best guess that has seen nothing: uniform
    assert losses[1] > 0.97 * np.log(V)  # four pairs of 576 hardly help
    floor = chain.entropy_rate()
    assert (
        floor < losses[-1] < floor + 2 * V * (V - 1) / (2 * sizes[-1])
    )  # excess of a count: free numbers / 2 D
    assert (losses[-3] - floor) / (losses[-2] - floor) == pytest.approx(
        4, rel=0.3
    )  # the power law 1/D: 4 times the data
    fit = fit_law(broken_law(1), sizes, losses, np.inf)
    assert fit.numbers["floor"] == pytest.approx(
        floor, rel=0.02
    )  # the law finds the source's entropy from the curve


def test_features_as_many_as_examples_are_the_worst():
    weights = np.full(120, 120**-0.5)  # a truth of size 1 spread over all features
    risk = [expected_risk(40, p, weights, 0.3) for p in (5, 20, 36, 44, 80, 120)]
    assert risk[0] < risk[2] and risk[1] < risk[2] and risk[3] > risk[4] > risk[5]
    assert np.isinf(expected_risk(40, 40, weights, 0.3))
    assert expected_risk(40, 0, weights, 0.3) == pytest.approx(
        1 + 0.3**2
    )  # nothing fitted: all is noise


@pytest.mark.parametrize(
    "p, risk",
    [
        # Of 120 features of weight^2 1/120, p are used; noise 0.5, so left = (120 - p) / 120 + 1/4.
        (0, 1.25),
        (30, 1.0 * (1 + 30 / 9)),  # below 40 examples: left (1 + p / (n - p - 1))
        (38, (82 / 120 + 0.25) * 39),
        (39, np.inf),
        (41, np.inf),
        (42, 42 / 120 * (1 - 40 / 42) + (78 / 120 + 0.25) * 41),
        (60, 0.5 * (1 - 40 / 60) + 0.75 * (1 + 40 / 19)),  # above: used (1 - n / p) + left (..)
        (120, 1 - 40 / 120 + 0.25 * (1 + 40 / 79)),
    ],
)
def test_the_expected_risk_by_hand(p, risk):
    assert expected_risk(40, p, np.full(120, 120**-0.5), 0.5) == pytest.approx(risk)


def test_all_features_and_no_noise_leave_no_risk():
    weights = np.array([1.0, -2.0, 0.5])
    assert measured_risk(10, 3, weights, 0.0, seed=0) == pytest.approx(0, abs=1e-20)
    # Nothing fitted: the variance of x . w + noise, 5.25 + 4, over 400 tests to four of its
    # standard errors sqrt(2 / 400).
    found = measured_risk(10, 0, weights, 2.0, seed=0)
    assert found == pytest.approx(9.25, rel=4 * (2 / 400) ** 0.5)


@pytest.mark.parametrize("p", [10, 20, 80, 120])
def test_the_measured_risk_is_the_expected_one(p):
    # 40 draws of 40 examples: the spread of a mean is some per cent; four times its own standard
    # error is allowed
    weights = np.full(120, 120**-0.5)
    measured = [measured_risk(40, p, weights, 0.3, seed, 100) for seed in range(40)]
    error = np.std(measured) / 40**0.5
    assert abs(np.mean(measured) - expected_risk(40, p, weights, 0.3)) < 4 * error
    assert measured[0] == measured_risk(40, p, weights, 0.3, 0, 100)


def test_the_peak_is_measured_where_features_meet_examples():
    weights = np.full(120, 120**-0.5)
    means = {
        p: np.median([measured_risk(40, p, weights, 0.3, seed, 100) for seed in range(20)])
        for p in (20, 40, 80)
    }
    assert means[40] > 3 * means[20] and means[40] > 3 * means[80]


def test_an_answer_of_k_tokens_is_right_with_p_to_the_k():
    assert all_tokens_right(0.9, 1) == 0.9 and all_tokens_right(0.5, 3) == 0.125
    drawn = np.random.default_rng(0).random((200_000, 5)) < 0.8
    assert drawn.all(axis=1).mean() == pytest.approx(
        all_tokens_right(0.8, 5), abs=4e-3
    )  # 0.8^5 = 0.328, sd 1e-3
    p = np.array([0.5, 0.6, 0.72])  # each 1.2 times the one before: as smooth as can be
    np.testing.assert_allclose(
        sharpness(p, 10), 10 * np.log([1.2, 1.2])
    )  # the answer gains 1.2^10 = 6.2 times


def test_rank_correlation_by_hand():
    assert ranks([10, 30, 20, 30]).tolist() == [1, 3.5, 2, 3.5]
    assert rank_correlation([1, 2, 3], [10, 100, 1000]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(
        1 - 6 * 2 / (4 * 15)
    )  # 1 - 6 sum d^2 / (n (n^2 - 1))
    assert np.isnan(rank_correlation([1, 2], [1, 1]))
    assert rank_correlation([5, 7], [2, 1]) == -1
    for x, y in ([1, 2], [1, 2, 3]), ([1], [1]), ([1, 2, 3], [1]):
        with pytest.raises(ShapeError, match="same length"):
            rank_correlation(x, y)
