"""Comparisons are solved from the last person to the first, sub-problem by sub-problem."""

import pytest

from tinylm.data.read.gsm8k import ANNOTATION
from tinylm.data.synthetic.prompted.comparisons import (
    amounts,
    comparison_items,
    sub_problems,
    worked,
)
from tinylm.errors import ConfigError, DataError

BOOK = (
    "Alice has 2 times as many beads as Bob. Bob has 5 times as many beads as Charlie. "
    "Charlie has 6 beads. How many beads do they have in all?"
)


def test_the_example_of_the_book():
    # Alice has twice as many as Bob, Bob five times as many as Charlie, who has 6.
    assert sub_problems(BOOK) == [
        ("How many beads does Bob have?", "30"),
        ("How many beads does Alice have?", "60"),
    ]
    assert worked(BOOK) == (
        "Bob has 6*5=<<6*5=30>>30 beads. Alice has 30*2=<<30*2=60>>60 beads. "
        "In all they have 6+30+60=<<6+30+60=96>>96 beads.",
        "96",
    )
    assert amounts(BOOK)[:2] == ("beads", {"Charlie": 6, "Bob": 30, "Alice": 60})


def test_the_order_of_the_sentences_does_not_matter():
    first, second, third, question = BOOK.replace(". ", ".|").split("|")
    again = " ".join([second, third, first, question])
    assert worked(again)[1] == "96" and sub_problems(again) == sub_problems(BOOK)
    more = BOOK.replace("5 times as many beads as", "5 more beads than")
    assert amounts(more)[1] == {"Charlie": 6, "Bob": 11, "Alice": 22}


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("Charlie has 6", "Dan has 6", "what Alice has does not follow"),
        ("as many beads as Bob", "as many eggs as Bob", "is not about beads"),
        ("in all?", "now?", "not of the form"),
        ("2 times", "twice", "of none of 3 forms"),
    ],
)
def test_a_problem_of_another_form_is_refused(old, new, reason):
    with pytest.raises(DataError, match=reason):
        worked(BOOK.replace(old, new))


@pytest.mark.parametrize("people", [2, 5])
def test_difficulty_is_the_number_of_people(people):
    for item in comparison_items(30, people=people, largest=2):
        thing, known, _ = amounts(item.question)
        assert len(known) == people and str(sum(known.values())) == item.answer
        assert len(sub_problems(item.question)) == people - 1
        assert len(ANNOTATION.findall(item.rationale)) == people
    assert len(amounts(comparison_items(1)[0].question)[1]) == 3
    for wrong in ({"people": 1}, {"largest": 1}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            comparison_items(1, **wrong)


def test_factors_and_differences_keep_to_their_limits():
    items = comparison_items(200)
    factors, more, last = set(), set(), set()
    for item in items:
        words = item.question.split()
        factors |= {int(a) for a, b in zip(words, words[1:]) if b == "times"}
        more |= {int(a) for a, b in zip(words, words[1:]) if b == "more"}
        last.add(next(iter(amounts(item.question)[1].values())))
    assert factors == {2, 3, 4, 5} and more == last == set(range(2, 10))
