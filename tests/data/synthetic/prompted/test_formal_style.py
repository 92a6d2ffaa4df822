"""Every informal phrase has one formal version, and none of its words stays."""

from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.formal_style import (
    CLAUSES,
    CLOSINGS,
    GREETINGS,
    REASONS,
    formal_items,
    informal_words,
    solve_formal,
)

MESSAGE = "Hey guys, I can't come to the meeting 'cause it's too far. Thanks!"


def test_a_message_is_rewritten_phrase_by_phrase():
    formal = "Hello everyone, I cannot come to the meeting because it is too far. Thank you."
    assert solve_formal(Item(MESSAGE)) == formal
    assert solve_formal(Item("Hey, the dinner was awesome. Cheers!")) == (
        "Hello, the dinner was excellent. Kind regards."
    )


def test_informal_words_are_counted():
    assert informal_words(MESSAGE) == ["hey", "guys", "can't", "'cause", "it's", "thanks", "!"]
    # Curly marks are the same, and words inside others are none.
    assert informal_words("I don\N{RIGHT SINGLE QUOTATION MARK}t, they bossed kidskin") == ["don't"]
    assert informal_words("It is YO and Lots of") == ["yo", "lots of"]


def test_formal_phrases_have_no_informal_word_and_informal_ones_have():
    for table in (GREETINGS, CLAUSES, REASONS, CLOSINGS):
        for informal, formal in table.items():
            assert not informal_words(formal), formal
            assert not informal or informal_words(informal), informal
        assert len(set(table.values())) == len(table)


def test_the_answer_is_found_from_the_question_alone():
    items = formal_items(400, seed=3)
    assert all(solve_formal(item) == item.answer for item in items)
    assert all(informal_words(item.question) for item in items)
    assert not any(informal_words(item.answer) for item in items)
    # All phrases of all tables occur: 3 greetings, 8 clauses, 4 reasons, 4 closings.
    starts = {item.question.split(",")[0] for item in items}
    ends = {item.question.rpartition(". ")[2] for item in items}
    assert starts == set(GREETINGS) and ends == set(CLOSINGS)
    assert formal_items(3) == formal_items(3, seed=0)
    assert formal_items(3, seed=1) == formal_items(3, seed=1) != formal_items(3, seed=2)
    assert items[0].rationale.startswith("Informal: ") and "!" in items[0].rationale
    assert items[0].task == "formal_style" and items[0].options == ()
