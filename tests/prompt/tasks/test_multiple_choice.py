"""Three scorings of the same options, which may disagree, and letters read from replies."""

from dataclasses import replace

import numpy as np
import pytest

from tests.prompt.small import Chat, text_model
from tinylm.data.read.items import Item
from tinylm.errors import DataError
from tinylm.prompt import ScriptedLM
from tinylm.prompt.tasks.multiple_choice import (
    choice_prompt,
    choose_by_cloze,
    choose_by_letter,
    choose_by_option,
    choose_generated,
    read_choice,
)

# The group of the book: a * b = a + b + 1.
GROUP = Item(
    "(Z, *) is a group with a * b = a + b + 1 for all a, b in Z. The inverse of a is",
    "(2 + a) * -1",
    ("0", "-2", "a - 2", "(2 + a) * -1"),
)
ITEM = Item("What melts at 0 degrees?", "ice", ("ice", "iron", "both of them"))
DEMO = Item("What burns?", "wood", ("water", "wood"))
LISTED = "What melts at 0 degrees? (A) ice (B) iron (C) both of them\nAnswer:"


def test_the_answer_to_the_books_question_is_d():
    # The identity e has a * e = a, so e = -1; a * x = -1 means x = -2 - a: option D as a product.
    for a in range(-5, 6):
        inverse = -2 - a
        assert a + -1 + 1 == a and a + inverse + 1 == -1
        values = {"0": 0, "-2": -2, "a - 2": a - 2, "(2 + a) * -1": (2 + a) * -1}
        assert values[GROUP.answer] == inverse
    assert choice_prompt(GROUP, answered=True) == (
        f"{GROUP.question} (A) 0 (B) -2 (C) a - 2 (D) (2 + a) * -1\nAnswer: D"
    )
    lm = ScriptedLM([(choice_prompt(GROUP), {" A": -3, " B": -2, " C": -2, " D": -1})])
    answer = choose_by_letter(lm, GROUP)
    assert answer.value == GROUP.answer and answer.details["letter"] == "D"


def test_letters_are_scored_after_the_listed_options():
    shown = f"What burns? (A) water (B) wood\nAnswer: B\n\n{LISTED}"
    lm = ScriptedLM([(shown, {" A": -1.0, " B": -2.0, " C": -3.0})])
    with lm.tracing() as trace:
        answer = choose_by_letter(lm, ITEM, [DEMO])
    assert answer.value == "ice" and trace.calls[0].parsed == [("answer", "ice")]
    assert answer.details["scores"].continuations == (" A", " B", " C")


def test_the_passage_of_a_question_stands_before_it():
    item = replace(ITEM, context="Ice is water.")
    assert choice_prompt(item) == f"Ice is water.\n{LISTED}"
    prompt = f"What burns?\nAnswer: wood\n\nIce is water.\n{ITEM.question}\nAnswer:"
    scores = {f" {option}": -1.0 for option in ITEM.options}
    choose_by_cloze(ScriptedLM([(prompt, scores)]), item, [DEMO], normalization="sum")


def test_texts_of_options_are_compared_by_a_normalization():
    # Per character: -4/3, -4/4 and -9/12; as sums the shortest two are ahead.
    scores = {" ice": -4.0, " iron": -4.0, " both of them": -9.0}
    assert choose_by_option(ScriptedLM([(LISTED, scores)]), ITEM).value == "both of them"
    lm = ScriptedLM([(LISTED, scores)])
    assert choose_by_option(lm, ITEM, normalization="sum").value == "ice"
    shown = f"What burns? (A) water (B) wood\nAnswer: wood\n\n{LISTED}"
    assert choose_by_option(ScriptedLM([(shown, scores)]), ITEM, [DEMO]).value == "both of them"
    prior = {" ice": -1.0, " iron": -9.0, " both of them": -9.0}
    lm = ScriptedLM({LISTED: scores, "Answer:": prior})
    assert choose_by_option(lm, ITEM, normalization="unconditional").value == "iron"


def test_a_cloze_does_not_list_the_options_and_divides_out_their_prior():
    scores = {" ice": -4.0, " iron": -3.0, " both of them": -9.0}
    prior = {" ice": -6.0, " iron": -3.5, " both of them": -9.0}
    prompt = "What melts at 0 degrees?\nAnswer:"
    lm = ScriptedLM({prompt: scores, "Answer:": prior})
    answer = choose_by_cloze(lm, ITEM)
    assert answer.value == "ice"  # 2 nats more with the question than without
    assert choose_by_cloze(ScriptedLM({prompt: scores}), ITEM, normalization="sum").value == "iron"
    shown = f"What burns?\nAnswer: wood\n\n{prompt}"
    lm = ScriptedLM({shown: scores, "Answer:": prior})
    assert choose_by_cloze(lm, ITEM, [DEMO]).details["letter"] == "A"


def test_a_real_model_is_scored_in_all_ways():
    lm = text_model()
    item = Item("x?", options=("a", "bcd"))
    by_letter = choose_by_letter(lm, item).details["scores"].sums
    np.testing.assert_allclose(by_letter, lm.score(choice_prompt(item), [" A", " B"]).sums)
    by_option = choose_by_option(lm, item).details["scores"].sums
    np.testing.assert_allclose(by_option, lm.score(choice_prompt(item), [" a", " bcd"]).sums)
    by_cloze = choose_by_cloze(lm, item).details["scores"]
    np.testing.assert_allclose(by_cloze.sums, lm.score("x?\nAnswer:", [" a", " bcd"]).sums)
    np.testing.assert_allclose(by_cloze.prior, lm.score("Answer:", [" a", " bcd"]).sums)


@pytest.mark.parametrize(
    "reply, index",
    [
        ("B", 1),
        (" (c).", 2),
        ("**A**", 0),
        ("iron", 1),
        ("Iron.", 1),
        ("So the answer is (c).", 2),
        ("The answer is B because iron is hard, not ice.", 1),
        ("Answer: a", 0),
        ("I would take option B", 1),
        ("I choose (B), since (B) melts.", 1),
        ("B) iron", 1),
        ("It must be ice, I think.", 0),
        ("Both of  them", None),
        ("ice or iron", None),
        ("(A) or (B)", None),
        ("The answer is (A). No, the answer is (B).", None),
        ("The answer is an apple.", None),
        # "a" and "A" before a word are the article, unless the word shows that they are not.
        ("The answer is a television.", None),
        ("Answer: A television", None),
        ("The answer is a piece of ice.", 0),
        ("The correct answer is a.", 0),
        ("The answer is a\nIt is cold.", 0),
        ('The answer is "c", not "b"', 2),
        ("The answer is A because it is cold.", 0),
        ("Option A melts.", 0),
        ("answer b follows", None),
        ("The answer is A or B.", None),
        ("The answer is (a), (c)", None),
        ("Option B or C.", None),
        ("It is not (B).", None),
        ("such as f(a) or f(b)", None),
        ("It is ice, not iron.", 0),
        ("(E)", None),
        ("nice", None),
        ("", None),
    ],
)
def test_a_reply_names_one_option_or_none(reply, index):
    assert read_choice(reply, ITEM.options) == index


def test_marks_of_a_name_belong_to_it():
    options = ("Java", "C", "C++", "C#")
    for reply in ("The answer is C++.", "It must be C++, I think."):
        assert read_choice(reply, options) == 2
    assert read_choice("The answer is C# here", options) == 3
    assert read_choice("It is C of course", options) == 1


def test_the_pronoun_is_no_letter():
    options = tuple("abcdefghi")
    assert read_choice("The answer: I think it is (C).", options) == 2
    assert read_choice("The answer is I.", options) == 8
    assert read_choice("The answer is I since it is last.", options) == 8


def test_a_generated_reply_is_read():
    lm = ScriptedLM([(LISTED, " The answer is (A).\n\nMore"), (LISTED, "Hm.")])
    answer = choose_generated(lm, ITEM)
    assert answer.value == "ice" and answer.text == " The answer is (A)."
    assert choose_generated(lm, ITEM).value is None
    # A chat may think first, unless demonstrations show that the answer comes at once.
    thought = "It is cold.\n\nThe answer is (A)."
    assert choose_generated(Chat([(LISTED, thought)]), ITEM).value == "ice"
    assert choose_generated(Chat([(None, thought)]), ITEM, [DEMO]).value is None
    shown = f"What burns? (A) water (B) wood\nAnswer: B\n\n{LISTED}"
    assert choose_generated(ScriptedLM([(shown, "C")]), ITEM, [DEMO]).value == "both of them"


def test_there_must_be_options_and_letters_for_them():
    for choose in (choose_by_letter, choose_by_option, choose_by_cloze, choose_generated):
        with pytest.raises(DataError, match="2 to 26 options; 'x' has 0"):
            choose(ScriptedLM({}), Item("x"))
    most = tuple(map(str, range(26)))
    assert choice_prompt(Item("x", options=most)).endswith("(Z) 25\nAnswer:")
    with pytest.raises(DataError, match="has 27"):
        choice_prompt(Item("x", options=(*most, "26")))
