"""Mean and mean square, in the words of the book's solutions."""

import re
from fractions import Fraction

import pytest

from tinylm.data.read.items import Item
from tinylm.data.synthetic.prompted.means import (
    listed,
    mean,
    mean_items,
    mean_square,
    mean_square_steps,
    mean_steps,
    solve_means,
)
from tinylm.errors import ConfigError, DataError


def test_the_examples_of_the_book():
    assert mean([2, 4, 9]) == 5 and mean([2, 4, 6]) == 4
    assert mean_square([1, 3, 5, 7]) == 21  # not 16, the square of the mean
    assert mean([1, 2]) == Fraction(3, 2) and mean_square([1, 2]) == Fraction(5, 2)
    assert mean_square_steps([1, 3, 5, 7]) == (
        "Calculate the square of each number: 1^2 = 1, 3^2 = 9, 5^2 = 25, and 7^2 = 49. Sum the "
        "squares, 1 + 9 + 25 + 49 = 84. There are 4 numbers in total. Divide the sum by the number "
        "of items, 84/4 = 21."
    )
    assert mean_steps([2, 4, 9]) == (
        "Calculate 2 + 4 + 9, which equals 15. There are three numbers. Divide the total sum by "
        "the count, resulting in 15/3 = 5."
    )
    question = "Please calculate the mean square of the numbers 1, 3, 5, and 7."
    assert solve_means(Item(question)) == "21"
    assert solve_means(Item("Please calculate the average of the numbers 2, 4, and 9.")) == "5"
    assert solve_means(Item("Please calculate the average of the numbers 1 and 2.")) == "3/2"


def test_english_lists():
    assert listed([2, 4]) == "2 and 4" and listed([2, 4, 9]) == "2, 4, and 9"


@pytest.mark.parametrize("numbers, word", [(2, "two"), (5, "five"), (10, "ten")])
def test_difficulty_is_the_number_of_numbers(numbers, word):
    items = mean_items(30, numbers=numbers, largest=3, kinds=("average",))
    for item in items:
        drawn = [int(n) for n in re.findall("[0-9]+", item.question)]
        assert len(drawn) == numbers and set(drawn) <= {1, 2, 3}
        assert f"There are {word} numbers" in item.rationale
        assert mean(drawn).denominator == 1  # answers are whole


def test_the_only_number_up_to_1_is_1():
    assert {item.answer for item in mean_items(9, largest=1)} == {"1"}


def test_both_kinds_and_all_numbers_occur():
    items = mean_items(200)
    assert {"average" in item.question for item in items} == {True, False}
    assert all(("^2" in item.rationale) == ("mean square" in item.question) for item in items)
    drawn = {n for item in items for n in re.findall("[0-9]+", item.question)}
    assert drawn == set("123456789")
    assert {len(re.findall("[0-9]+", item.question)) for item in items} == {3}


@pytest.mark.parametrize(
    "wrong",
    [{"numbers": 1}, {"numbers": 11}, {"largest": 0}, {"kinds": ("median",)}, {"kinds": ()}],
)
def test_settings_that_make_no_question_are_refused(wrong):
    with pytest.raises(ConfigError, match="mean_items"):
        mean_items(1, **wrong)


@pytest.mark.parametrize(
    "kind, numbers",
    [("median", "1 and 2"), ("average", "1"), ("average", "1, 2"), ("average", "x and y")],
)
def test_other_questions_are_refused(kind, numbers):
    with pytest.raises(DataError, match="no question about a mean"):
        solve_means(Item(f"Please calculate the {kind} of the numbers {numbers}."))
