import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.align.feedback.formats import (
    BOOK_RANKING,
    Ranking,
    Rating,
    WeighedPreference,
    pairs_of_ranking,
    pairs_of_ratings,
    ranking_of_ratings,
    rating_of_stars,
)
from tinylm.align.rewards.pairwise import pairwise_loss
from tinylm.autograd import Tensor
from tinylm.data.read.preferences import Preference
from tinylm.errors import ConfigError, DataError


def test_the_books_ranking_has_six_pairs():
    # y2 > y3 > y1 > y4
    found = pairs_of_ranking(Ranking.of("x", ["y2", "y3", "y1", "y4"]))
    expected = [("y2", "y3"), ("y2", "y1"), ("y2", "y4"), ("y3", "y1"), ("y3", "y4"), ("y1", "y4")]
    assert found == [Preference("x", a, b) for a, b in expected]


@pytest.mark.parametrize(
    "rewards, mean",
    [
        # in the order of the ranking: margins 1, 2, 3, 1, 2, 1, and -log sigmoid of these
        ((2, 1, 0, -1), 0.2070380727),
        # in its reverse each is softplus(m) = softplus(-m) + m, and the margins add up to 10
        ((-1, 0, 1, 2), 0.2070380727 + 10 / 6),
        ((3, 3, 3, 3), math.log(2)),
    ],
)
def test_the_books_four_answers_train_a_reward_model(rewards, mean):
    """Section 2.1.4: y1 > y4 > y2 > y3."""
    reward = dict(zip([y for tier in BOOK_RANKING.tiers for y in tier], rewards))
    pairs = pairs_of_ranking(BOOK_RANKING)
    assert len(pairs) == 6 and {p.prompt for p in pairs} == {BOOK_RANKING.prompt}
    chosen, rejected = (
        Tensor(np.array([reward[y] for y in side], float))
        for side in zip(*((p.chosen, p.rejected) for p in pairs))
    )
    assert pairwise_loss(chosen, rejected).item() == pytest.approx(mean, abs=1e-9)


@given(st.integers(2, 7))
def test_a_ranking_of_n_has_n_over_2_pairs_and_they_are_transitive(n):
    pairs = {(p.chosen, p.rejected) for p in pairs_of_ranking(Ranking.of("x", map(str, range(n))))}
    assert len(pairs) == math.comb(n, 2)
    assert all((a, d) in pairs for a, b in pairs for c, d in pairs if b == c)


def test_equal_responses_of_a_ranking_are_not_compared():
    found = pairs_of_ranking(Ranking("x", (("a",), ("b", "c"), ("d",))))
    pairs = [(p.chosen, p.rejected) for p in found]
    assert pairs == [("a", "b"), ("a", "c"), ("a", "d"), ("b", "d"), ("c", "d")]


@pytest.mark.parametrize("responses", [[], ["a"], ["a", "b", "a"]])
def test_a_ranking_has_two_different_responses(responses):
    with pytest.raises(DataError, match="Ranking"):
        Ranking.of("x", responses)


def test_a_preference_is_certain_and_of_unknown_margin_unless_it_says_more():
    bare = WeighedPreference("x", "a", "b")
    assert (bare.probability, bare.margin) == (1, 0)
    assert Rating("x", "a", 3).annotator == ""


def test_ratings_give_pairs_with_their_difference_and_ties_give_none():
    ratings = [Rating("x", "a", 3), Rating("x", "b", 5), Rating("x", "c", 3)]
    assert pairs_of_ratings(ratings) == [
        WeighedPreference("x", "b", "a", margin=2.0),
        WeighedPreference("x", "b", "c", margin=2.0),
    ]


def test_ratings_of_other_prompts_and_annotators_are_not_compared():
    ratings = [
        Rating("x", "a", 1, "ann"),
        Rating("x", "b", 2, "bob"),
        Rating("z", "c", 3, "ann"),
        Rating("x", "d", 4, "ann"),
    ]
    assert pairs_of_ratings(ratings) == [WeighedPreference("x", "d", "a", margin=3.0)]


def test_two_ratings_of_one_response_are_no_pair():
    assert pairs_of_ratings([Rating("x", "a", 1), Rating("x", "a", 2)]) == []


def test_a_smallest_difference_can_be_wanted():
    ratings = [Rating("x", "a", 1), Rating("x", "b", 2), Rating("x", "c", 4)]
    found = pairs_of_ratings(ratings, least=2)
    assert [(p.chosen, p.rejected) for p in found] == [("c", "a"), ("c", "b")]
    with pytest.raises(ConfigError, match="least"):
        pairs_of_ratings(ratings, least=-0.1)


def test_ratings_make_a_ranking_with_ties():
    ratings = [Rating("x", "a", 3), Rating("x", "b", 5), Rating("x", "c", 3)]
    assert ranking_of_ratings(ratings) == Ranking("x", (("b",), ("a", "c")))
    for other in (Rating("z", "d", 1), Rating("x", "d", 1, "bob")):
        with pytest.raises(DataError, match="one prompt by one annotator"):
            ranking_of_ratings([*ratings, other])


def test_all_scales_become_one():
    assert [rating_of_stars(stars) for stars in (1, 3, 5)] == [0, 0.5, 1]
    assert rating_of_stars(7, 1, 10) == pytest.approx(2 / 3)
    assert [rating_of_stars(yes, 0, 1) for yes in (0, 1)] == [0, 1]
    for stars in (0, 6):
        with pytest.raises(DataError, match="between 1 and 5"):
            rating_of_stars(stars)
