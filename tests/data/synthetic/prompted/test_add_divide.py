"""Sum divided by product, exactly, and rounded once."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.measure.numbers import significant
from tinylm.data.synthetic.prompted.add_divide import (
    add_divide,
    add_divide_item,
    add_divide_items,
)
from tinylm.errors import ConfigError, DataError


@pytest.mark.parametrize(
    "a, b, value, written",
    [
        (12, 5, Fraction(17, 60), "0.283"),
        (3, 1, Fraction(4, 3), "1.33"),
        (-9, 4, Fraction(5, 36), "0.139"),  # 0.1389: the book cuts it off to 0.138
        (15, 15, Fraction(2, 15), "0.133"),
        (19, 73, Fraction(92, 1387), "0.0663"),  # the book's query
        (5, -5, Fraction(0), "0"),
        (-1, -1, Fraction(-2), "-2"),
    ],
)
def test_the_examples_of_the_book_and_their_limits(a, b, value, written):
    assert add_divide(a, b) == value and significant(value) == written


@given(st.integers(-99, 99).filter(bool), st.integers(-99, 99).filter(bool))
def test_the_value_is_the_sum_of_the_inverses(a, b):
    # (a + b) / (a b) = 1/a + 1/b
    assert add_divide(a, b) == Fraction(1, a) + Fraction(1, b)


def test_zero_has_no_inverse():
    for a, b in ((0, 3), (3, 0), (0, 0)):
        with pytest.raises(DataError, match="times"):
            add_divide(a, b)


def test_items_are_pairs_within_the_limit():
    pairs = {item.question for item in add_divide_items(400, largest=2)}
    # 4 numbers, 16 pairs: one is missed with probability below 16 (15/16)^400 < 1e-9
    assert pairs == {f"{a} {b}" for a in (-2, -1, 1, 2) for b in (-2, -1, 1, 2)}
    numbers = {int(n) for item in add_divide_items(2000) for n in item.question.split()}
    # 40 numbers: one is missed in 4,000 draws with probability 40 (39/40)^4000 < 1e-40
    assert numbers == set(range(-20, 21)) - {0}
    assert add_divide_items(1)[0].rationale.count("×") == 1
    assert {item.answer for item in add_divide_items(40, largest=1)} == {"-2", "0", "2"}
    with pytest.raises(ConfigError, match="largest is 0"):
        add_divide_items(1, largest=0)


def test_the_demonstrations_of_the_book():
    # V-13: the pair, the expression, the value
    item = add_divide_item(12, 5)
    assert (item.question, item.rationale) == ("12 5", "(12 + 5)/(12 × 5)")
    assert (item.answer, item.task) == ("0.283", "add_divide")


def test_the_worked_solution_is_the_expression():
    item = next(item for item in add_divide_items(400, largest=2) if item.question == "-1 2")
    assert item.rationale == "(-1 + 2)/(-1 × 2)" and item.answer == "-0.5"
