"""Combining answers: votes and overlaps, whose order does not matter."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.read.items import Item
from tinylm.errors import ShapeError
from tinylm.prompt.ensemble.bayes_risk import minimum_risk, overlap_risk
from tinylm.prompt.ensemble.combine import (
    Ballot,
    edit_similarity,
    item_key,
    max_overlap,
    vote,
    word_overlap,
)

answers = st.lists(st.sampled_from(["a", "b", "b c", "c b a", None]), max_size=6)


def test_the_kind_of_an_items_answer_decides_what_is_one_vote():
    texts = ["It is 7.", "many", "many", "3 + 4 = 7"]
    # What has no number is no answer to this item, and two equal ones do not win.
    ballot = vote(texts, key=item_key(Item("How many?", "7")))
    assert ballot.shares == {"3 + 4 = 7": 0.5}
    assert vote(texts, key=item_key(Item("How many?"))).value == "many"


def test_the_three_answers_of_the_book_have_a_majority():
    # P(exactly one head of three coins): 3/8, C(3,1) (0.5) (0.5)^2, and a wrong 1/3.
    ballot = vote(["3/8", "0.375", "1/3"])
    assert ballot.value == "0.375"  # of two spellings as frequent the first in the order of text
    assert ballot.shares == {"0.375": 2 / 3, "1/3": 1 / 3}
    assert ballot.confidence == 2 / 3
    as_text = vote(["3/8", "0.375", "1/3"], key=str)
    assert as_text.confidence == 1 / 3  # three strings: a tie


def test_the_same_answer_in_many_forms():
    assert vote(["3/8", "0.375", "37.5%", "37.5 %", ".375"]).confidence == 1
    assert vote(["Yes.", "yes", "New York!"]).shares == {"Yes.": 2 / 3, "New York!": 1 / 3}
    assert vote(["1/3", "0.333"]).confidence == 0.5  # no tolerance
    assert vote(["} ]", "] ]", "] ]"]).confidence == 2 / 3  # brackets are answers too


def test_a_vote_counts():
    assert vote(["x", "y", "y"]) == Ballot("y", {"y": 2 / 3, "x": 1 / 3})
    assert list(vote(["x", "y", "z", "y", "z", "z"]).shares) == ["z", "y", "x"]
    assert vote(["x"]) == Ballot("x", {"x": 1.0})  # K = 1 is the identity


def test_the_most_frequent_spelling_stands_for_its_camp():
    assert vote(["0.50", "1/2", "0.50", "7"]).value == "0.50"
    assert vote(["yes", "Yes", "YES", "Yes"]).shares == {"Yes": 1.0}


def test_ties_go_to_the_first_in_the_order_of_text():
    assert vote(["y", "x"]).value == "x"
    assert vote(["b", "a", "b", "a", "c"]).value == "a"


def test_who_has_no_answer_agrees_with_nobody():
    ballot = vote(["x", None, "x", None])
    assert ballot == Ballot("x", {"x": 0.5}) and ballot.confidence == 0.5
    nobody = vote([None, None])
    assert (nobody.value, nobody.shares, nobody.confidence) == (None, {}, 0.0)
    assert vote([]).value is None


def test_weights_are_summed():
    ballot = vote(["x", "y", "y"], [5, 2, 2])
    assert ballot.value == "x" and ballot.shares == {"x": 5 / 9, "y": 4 / 9}
    assert vote(["x", "y"], [0, 1]).shares == {"y": 1.0, "x": 0.0}
    assert vote(["x"], [0]).shares == {"x": 0.0}
    with pytest.raises(ShapeError, match="vote: 1 weights for 2 answers"):
        vote(["x", "y"], [1])


def test_equal_sums_of_weights_are_ties_in_every_order():
    # 0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in their last bit, unless they are summed exactly.
    for order in itertools.permutations([0.1, 0.2, 0.3]):
        ballot = vote(["b"] * 3 + ["a"] * 3, [*order, *order[::-1]])
        assert ballot.value == "a"


@given(answers, st.randoms(use_true_random=False))
def test_no_combination_depends_on_the_order(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    assert vote(values) == vote(shuffled)
    assert max_overlap(values)[0] == max_overlap(shuffled)[0]


def test_overlap_by_hand():
    # F1 of words: "cats purr" and "cats purr often" 2*2/5, "cats purr" and "dogs bark" 0.
    text, sums = max_overlap(["dogs bark", "cats purr", "cats purr often"])
    assert text == "cats purr"
    np.testing.assert_allclose(sums, [0, 0.8, 0.8])  # a tie, by the order of text
    assert max_overlap(["only"])[0] == "only"
    assert max_overlap(["only"])[1].tolist() == [0.0]


def test_a_text_without_words_and_none():
    text, sums = max_overlap([None, "cats", "cats sleep", None])
    assert text == "cats" and np.isnan(sums[[0, 3]]).all()
    assert max_overlap([None])[0] is None
    assert max_overlap([])[0] is None


def test_other_similarities():
    assert word_overlap("The cat.", "cat") == 1.0
    assert edit_similarity("a b c d", "a x c d") == pytest.approx(2 / 3)  # b c d: the a is dropped
    assert edit_similarity("cats", "") == 0.0
    assert edit_similarity("", "") == 1.0
    # Word order: F1 does not see it.
    values = ["x y z", "z y x", "x y w"]
    assert max_overlap(values, word_overlap)[0] == "x y z"
    sums = max_overlap(values, edit_similarity)[1]
    np.testing.assert_allclose(sums, [1 / 3 + 2 / 3, 1 / 3 + 1 / 3, 2 / 3 + 1 / 3])


@given(st.lists(st.sampled_from(["x", "x y", "y z w", "w x"]), min_size=1, max_size=6))
def test_greatest_overlap_is_the_smallest_risk(values):
    # Risk(y) = mean of 1 - s(y, y_k) = 1 - (sum over the others + s(y, y)) / n, and s(y, y) = 1.
    text, sums = max_overlap(values)
    found = minimum_risk(values, overlap_risk(word_overlap))
    assert text == found.value
    np.testing.assert_allclose(found.risks, 1 - (sums + 1) / len(values), rtol=0, atol=1e-12)
