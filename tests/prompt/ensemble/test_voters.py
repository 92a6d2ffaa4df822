"""Voters that err together gain less, better voters weigh more, and the spread of answers has parts
that are known where the answers are made by a known law.
"""

import itertools
import math

import numpy as np
import pytest

from tinylm.errors import DataError, ShapeError
from tinylm.prompt.ensemble.combine import vote
from tinylm.prompt.ensemble.voters import Spread, error_correlation, log_odds, spread


def test_the_same_errors_correlate_wholly_and_opposite_ones_cancel():
    one = [1, 0, 0, 1, 1, 0]
    assert error_correlation([one, one, one]) == pytest.approx(1)
    assert error_correlation([one, [1 - w for w in one]]) == pytest.approx(-1)
    # Two voters with two errors of four in common by chance: independent.
    assert error_correlation([[1, 1, 0, 0], [1, 0, 1, 0]]) == pytest.approx(0)
    assert math.isnan(error_correlation([[0, 0, 0], [1, 1, 1]]))


def test_the_variance_of_the_mean_error_is_that_of_the_formula():
    wrong = np.random.default_rng(0).integers(0, 2, (4, 50))
    wrong[1] = wrong[0]  # one of six pairs goes together wholly
    v, rho, K = wrong.var(axis=1).mean(), error_correlation(wrong), 4
    assert wrong.mean(axis=0).var() == pytest.approx(v * (1 + (K - 1) * rho) / K)
    assert 0.05 < rho < 0.3


@pytest.mark.parametrize("shape", [(1, 5), (3, 1), (3,), (2, 2, 2)])
def test_errors_are_of_two_voters_and_two_questions_or_more(shape):
    with pytest.raises(ShapeError, match="two voters or more"):
        error_correlation(np.zeros(shape))


# In the second, two of 0.6 are more probably right than one of 0.8: .36 * .1 > .8 * .2^2.
@pytest.mark.parametrize("p", [[0.9, 0.6, 0.6, 0.4], [0.8, 0.6, 0.6, 0.4]])
def test_log_odds_weights_make_the_vote_the_most_probable_answer(p):
    answers = "abc"
    weights = log_odds(p, len(answers))
    for votes in itertools.product(answers, repeat=4):
        # Pr(votes | y) of independent voters, whose errors are uniform over the other two answers
        likely = {}
        for y in answers:
            terms = [q if vote_ == y else (1 - q) / 2 for q, vote_ in zip(p, votes)]
            likely[y] = math.prod(terms)
        best = max(likely.values())
        assert likely[vote(list(votes), weights).value] == pytest.approx(best)


def test_equal_weights_take_two_of_six_tenths_over_one_of_nine():
    # and would be wrong more often
    weights = log_odds([0.9, 0.6, 0.6, 0.4], 3)
    assert vote("abbc", weights).value == "a" and vote("abbc").value == "b"


def test_a_voter_that_guesses_has_no_weight():
    assert log_odds([0.25], 4)[0] == pytest.approx(0, abs=1e-12)
    assert log_odds([0.5, 0.1]).tolist() == [0, 0]
    assert log_odds([0.75]) == pytest.approx(math.log(3))
    # of three answers: .75 * 2 / .25
    assert log_odds([0.75], 3) == pytest.approx(math.log(6))
    for p in (0.0, 1.0, -0.1):
        with pytest.raises(DataError, match="must lie between 0 and 1"):
            log_odds([0.5, p])


def test_the_spread_of_all_answers_has_four_parts():
    # Values that are a sum of a part of each kind, with variances 4, 1, 0.25 and 0.04.
    rng = np.random.default_rng(1)
    N, M, K, S = 4000, 3, 4, 2
    parts = (
        rng.normal(0, 2, (N, M, 1, 1)),
        rng.normal(0, 1, (N, 1, K, 1)),
        rng.normal(0, 0.5, (N, M, K, 1)),
        rng.normal(0, 0.2, (N, M, K, S)),
    )
    found = spread(sum(parts) + rng.normal(0, 5, (N, 1, 1, 1)))  # how hard a question is
    # 4000 questions: a variance has a relative error of sqrt(2 / 8000) or less, 1.6 %.
    assert found.models == pytest.approx(4, rel=0.06)
    assert found.prompts == pytest.approx(1, rel=0.06)
    assert found.both == pytest.approx(0.25, rel=0.06)
    assert found.samples == pytest.approx(0.04, rel=0.06)
    # The variance of the mean of a grid about its question, by which its axes are chosen.
    means = sum(part.mean(axis=(1, 2, 3)) for part in parts)
    assert found.of_mean(M, K, S) == pytest.approx(means.var(), rel=0.1)


def test_a_grid_of_one_row_of_errors_by_hand():
    # The models differ, and nothing else does: model 0 is right, model 1 wrong.
    right = np.zeros((1, 2, 3, 2))
    right[:, 0] = 1
    assert spread(right) == Spread(0.5, 0.0, 0.0, 0.0)
    # The same of prompts.
    assert spread(right.transpose(0, 2, 1, 3)) == Spread(0.0, 0.5, 0.0, 0.0)
    # Samples alone: each cell has a right one and a wrong one, and so no part lies between cells.
    right = np.zeros((1, 2, 2, 2))
    right[..., 0] = 1
    found = spread(right)
    assert found.samples == 0.5 and found.both == -0.25 and found.models == found.prompts == 0
    assert Spread(8, 4, 2, 1).of_mean(2, 4, 1) == 4 + 1 + 0.25 + 0.125
    assert Spread(0, 0, 0, 1).of_mean(1, 1, 2) == 0.5


@pytest.mark.parametrize(
    "shape", [(3, 1, 2, 2), (3, 2, 1, 2), (3, 2, 2, 1), (3, 2, 2), (0, 2, 2, 2)]
)
def test_an_axis_of_one_has_no_variance(shape):
    with pytest.raises(ShapeError, match="two or more of the last three"):
        spread(np.zeros(shape))
