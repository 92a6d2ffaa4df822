"""With exact rules for every function, decomposition is right at any length."""

import pytest

from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.dyck import dyck_items
from tinylm.data.synthetic.prompted.last_letters import last_letter_items
from tinylm.data.synthetic.prompted.multi_hop import multi_hop_items
from tinylm.errors import ConfigError, DataError
from tinylm.prompt.decompose.plan import decompose
from tinylm.prompt.decompose.rules import fact, letter, open_brackets, rules

BRACKETS = Item(
    "Complete the sequence, so that all brackets are closed in the right order. Input: [ ( ) <",
    task="dyck",
)


@pytest.mark.parametrize("n", [1, 4, 9])
def test_an_oracle_of_every_part_is_exact_at_any_length(n):
    items = last_letter_items(20, seed=n, words=n) + dyck_items(20, seed=n, length=n)
    if n <= 4:
        items += multi_hop_items(20, seed=n, hops=n)
    for item in items:
        plan = decompose(item, *rules(item))
        assert plan.answer == item.answer and plan.complete
        assert len(plan.pairs) == n


def test_the_parts_of_a_name_are_its_words():
    item = Item(
        'Take the last letters of the words in "Ada Wei" and concatenate them.',
        task="last_letters",
    )
    plan = decompose(item, *rules(item))
    assert plan.pairs == [
        ("What is the last letter of Ada?", "a"),
        ("What is the last letter of Wei?", "i"),
    ]
    assert plan.answer == "ai"


def test_each_bracket_changes_what_is_open():
    plan = decompose(BRACKETS, *rules(BRACKETS))
    assert plan.pairs == [
        ("What is open after [?", "["),
        ("What is open after (?", "[ ("),
        ("What is open after )?", "["),
        ("What is open after <?", "[ <"),
    ]
    assert plan.answer == "> ]"


def test_a_bracket_can_leave_nothing_open():
    assert open_brackets("What is open after )?", BRACKETS, [("", "(")]) == "nothing"
    assert open_brackets("What is open after )?", BRACKETS, [("", "{ (")]) == "{"
    assert open_brackets("What is open after [?", BRACKETS, [("", "nothing")]) == "["
    with pytest.raises(DataError, match="cannot follow"):
        open_brackets("What is open after )?", BRACKETS, [("", "[")])
    # All that were opened are closed: then there is nothing to write.
    _, _, conclude = rules(BRACKETS)
    assert conclude(BRACKETS, [("", "nothing")]) == ""


def test_the_second_hop_has_the_first_answer_in_its_words():
    item = Item(
        "What is the capital of the country where Wei was born?",
        context="Wei was born in Istria. The capital of Istria is Dorham.",
        task="multi_hop",
    )
    plan = decompose(item, *rules(item))
    assert plan.pairs == [
        ("What is the country where Wei was born?", "Istria"),
        ("What is the capital of Istria?", "Dorham"),
    ]
    assert plan.answer == "Dorham"
    with pytest.raises(DataError, match="no fact"):
        fact("What is the capital of Aldora?", item, ())


def test_what_is_no_part_is_not_answered():
    for problem in ("What is the last letter of ?", "What is the last letter of Ada", "Ada?", ""):
        with pytest.raises(DataError, match="not of the form 'What is the last letter of {}"):
            letter(problem, None, ())
    with pytest.raises(DataError, match="not of the form 'What is open"):
        open_brackets("What is the last letter of Ada?", BRACKETS, ())
    with pytest.raises(ConfigError, match="no decomposition of 'scan'"):
        rules(Item("jump", task="scan"))
