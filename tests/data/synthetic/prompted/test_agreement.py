"""The verb agrees with the head of its subject."""

import pytest

from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import generator
from tinylm.data.synthetic.prompted.agreement import (
    FORMS,
    agreement_items,
    random_sentence,
    repaired,
    solve_agreement,
)
from tinylm.errors import ConfigError, DataError


@pytest.mark.parametrize(
    "wrong, right",
    [
        # the book's query and first demonstration
        ("She don't like going to the park.", "She doesn't like going to the park."),
        ("There is many reasons to celebrate.", "There are many reasons to celebrate."),
        ("The keys near the box is lost.", "The keys near the box are lost."),
        ("The key near the boxes are lost.", "The key near the boxes is lost."),
        ("The child have changed.", "The child has changed."),
        ("They was here.", "They were here."),
        ("You hasn't been here.", "You haven't been here."),
        ("The friends isn't lost", "The friends aren't lost."),
        ("There were one box at home.", "There was one box at home."),
    ],
)
def test_sentences_are_repaired(wrong, right):
    assert repaired(wrong) == right == repaired(right)
    assert solve_agreement(Item(f"Correct the sentence: {wrong}")) == right


@pytest.mark.parametrize("sentence", ["The keys.", "Is lost.", "Everybody is lost.", ""])
def test_a_sentence_without_verb_or_subject_is_refused(sentence):
    with pytest.raises(DataError, match="no verb or no subject"):
        repaired(sentence)


def test_every_item_has_an_error_by_default():
    items = agreement_items(300)
    assert all(item.answer not in item.question for item in items)
    numbers = {item.rationale for item in items}
    assert numbers == {"The subject is singular.", "The subject is plural."}
    starts = {item.answer.split()[0] for item in items}
    assert {"There", "The", "He", "She", "It", "We", "You", "They"} <= starts
    assert any(f" {place} the " in item.answer for item in items for place in ("near", "behind"))


def test_the_share_of_errors_and_the_forms_can_be_chosen():
    correct = agreement_items(30, forms=("attractor",), wrong=0.0)
    assert all(item.question.endswith(item.answer) for item in correct)
    assert all(item.answer.lower().split().count("the") >= 2 for item in correct)
    half = sum(item.answer in item.question for item in agreement_items(400, wrong=0.5))
    assert abs(half - 200) < 40  # four standard deviations of sqrt(400 / 4) = 10
    for wrong in ({"forms": ()}, {"forms": ("verse",)}, {"wrong": 1.1}, {"wrong": -0.1}):
        with pytest.raises(ConfigError, match="agreement_items"):
            agreement_items(1, **wrong)
    with pytest.raises(ConfigError, match="'verse' is none of"):
        random_sentence("verse", "singular", generator(0, "x"))
    assert FORMS == ("pronoun", "noun", "attractor", "there")
