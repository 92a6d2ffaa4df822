"""One rule for right answers, whatever method gave them."""

from fractions import Fraction

import pytest

from tinylm.data.read.items import Item
from tinylm.prompt.evaluation.judge import answer_key, is_right, last_number, task_key


@pytest.mark.parametrize(
    "value, gold, right",
    [
        ("0.375", "3/8", True),
        ("37.5 %", "3/8", True),
        ("$1,200", "1200", True),
        ("1/3", "0.333", False),  # another number, though near
        ("the Tokyo.", "tokyo", True),
        ("It is Tokyo, in Japan.", "Tokyo", True),
        ("Tokyo", "Tokyo Bay", False),
        ("Tokyoto", "Tokyo", False),  # words, not letters
        ("He has 2 + 3 = 5 apples.", "5", True),
        ("5 of 6", "5", False),  # the last number counts
        ("none", "5", False),
        ("60%", "60", True),  # of one percent sign, both readings count
        ("It is 60 % of them.", "60", True),
        ("60", "60%", True),
        ("60 percent", "60 %", True),
        ("60%", "0.6", True),
        ("0.6", "60%", True),
        ("60%", "6", False),
        ("60%", "0.6%", False),  # of two, only one
        ("60", "0.6", False),
        ("} ]", "} ]", True),
        ("] }", "} ]", False),
        ("The answer is } ].", "} ]", True),  # brackets next to words
        ("After [ { comes }].", "} ]", True),  # spaces between brackets do not count
        ("It ends with ) } ].", "} ]", False),  # a longer run is another answer
        ("It is }", "} ]", False),
        ("no bracket", "} ]", False),
        ("C++", "C", False),  # marks that make another word
        ("It is C++.", "C++", True),
        ("C#", "C++", False),
        ("23 days", "2-3 days", False),
        ("15 km", "1.5 km", False),
        ("5 degrees", "-5 degrees", False),
        ("\N{MINUS SIGN}5 degrees", "-5 degrees", True),
        (".5 km", "-.5 km", False),
        ("f(x)", "fx", True),  # where a word is wanted, marks are not compared
        ("JUMP WALK", "JUMP WALK", True),
        ("It means JUMP, WALK.", "JUMP WALK", True),
        ("jump walk", "JUMP WALK", True),  # in small letters, if there are no others
        ("JUMP WALK WALK", "JUMP WALK", False),  # a longer sequence is another answer
        ("LTURN JUMP WALK", "JUMP WALK", False),
        ("JUMP", "JUMP WALK", False),
        ("JUMP WALK and then RUN", "JUMP WALK", False),  # the last sequence counts
        ("jump twice is JUMP JUMP", "JUMP JUMP", True),
        ("JUMP JUMP", "JUMP", False),
        ("JUMPING", "JUMP", False),
        ("I do not know", "JUMP", False),
        ("I_TURN_LEFT I_JUMP I_JUMP", "I_TURN_LEFT I_JUMP", False),
        ("So: I_TURN_LEFT I_JUMP", "I_TURN_LEFT I_JUMP", True),
        (None, "JUMP", False),
        (None, "5", False),
    ],
)
def test_answers_are_compared_by_value_or_by_words(value, gold, right):
    assert is_right(value, Item("?", gold)) is right


def test_an_option_must_be_the_gold_option_to_the_letter():
    item = Item("?", "two", ("Two", "two"))
    assert is_right("two", item) and not is_right("Two", item)


def test_without_a_gold_answer_nothing_is_right_or_wrong():
    assert is_right("5", Item("?")) is None and is_right(None, Item("?")) is None


def test_keys_of_equal_answers_are_equal():
    assert answer_key("50 %") == answer_key("1/2") == Fraction(1, 2)
    assert answer_key("A cat!") == answer_key("cat") == ("cat",)
    languages = [answer_key(text) for text in ("C", "C+", "C++", "C#", "C##")]
    assert len(set(languages)) == 5 and answer_key("c++.") == answer_key("C++")
    # Marks that are none of a word: between words, or before one.
    assert answer_key("12/5 or 3:4 m") != answer_key("125 or 34 m") != answer_key("12/5 or 34 m")
    assert answer_key("2–3 m") != answer_key("23 m") and answer_key("well-known") == ("wellknown",)
    assert answer_key("#1 a+b - c") == ("1", "ab", "c")
    assert answer_key(None) is None and answer_key("] ]") == ("]", "]") != answer_key("} ]")


def test_the_key_of_a_task_is_its_number_where_one_is_wanted():
    number, word = Item("?", "7"), Item("?", "seven")
    assert task_key("3 + 4 = 7", number) == task_key("7.0", number) == 7
    closing = Item("?", "] }")
    assert task_key("It is ] }.", closing) == task_key("]}", closing) != task_key("} ]", closing)
    assert task_key("It is closed.", closing) is None
    scan = Item("?", "JUMP WALK")
    assert task_key("It is RUN JUMP.", scan) == task_key("RUN  JUMP", scan) == ("RUN", "JUMP")
    assert task_key("no action", scan) is None
    assert task_key("no number", number) is None and task_key(None, number) is None
    assert task_key("3 + 4 = 7", word) == task_key("3 + 4 = 7", Item("?")) == ("3", "4", "7")


def test_the_last_number_of_a_text():
    assert last_number("from 3 to 7 apples") == "7" and last_number("37.5 %") == "37.5 %"
    assert last_number("none") is None
