"""The game of 24 is decided by trying everything."""

from fractions import Fraction
from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinylm.errors import DataError
from tinylm.prompt.reasoning.calculator import calculate
from tinylm.prompt.reasoning.game_of_24 import (
    Hand,
    after_step,
    combinations,
    solvable,
    solved,
)


def test_two_numbers_have_six_results():
    children = combinations(Hand.of([3, 8]))
    assert {child.left[0] for child in children} == {
        Fraction(11), Fraction(24), Fraction(5), Fraction(-5), Fraction(8, 3), Fraction(3, 8)
    }  # fmt: skip
    assert [child.steps[0] for child in children] == [
        "3 + 8 = 11 (left: 11)",
        "3 * 8 = 24 (left: 24)",
        "8 - 3 = 5 (left: 5)",
        "3 - 8 = (-5) (left: (-5))",
        "8 / 3 = (8/3) (left: (8/3))",
        "3 / 8 = 0.375 (left: 0.375)",
    ]


def test_a_step_takes_any_two_numbers_and_keeps_the_others():
    children = combinations(Hand.of([30, 7, 2]))
    # Three pairs with six results each; all of them are different.
    assert len(children) == 18
    assert {child.left for child in children} >= {(2, 37), (7, 32), (9, 30), (7, 60), (-23, 2)}
    assert all(child.left == tuple(sorted(child.left)) for child in children)


def test_what_leaves_the_same_numbers_is_one_step():
    # 2 + 2 = 2 * 2, 2 - 2 and 2 / 2 in both orders: 4, 0 and 1.
    assert {child.left for child in combinations(Hand.of([2, 2]))} == {(4,), (0,), (1,)}
    assert len(combinations(Hand.of([2, 2]))) == 3
    assert combinations(Hand.of([5])) == []
    assert combinations(Hand.of([2, 2]))[1].steps == ("2 - 2 = 0 (left: 0)",)


def test_nothing_is_divided_by_zero():
    assert {child.left[0] for child in combinations(Hand.of([0, 5]))} == {5, 0, -5}


@pytest.mark.parametrize(
    "numbers, possible",
    [
        ([4, 9, 10, 13], True),  # the example of the paper
        ([3, 3, 8, 8], True),  # 8 / (3 - 8/3): needs fractions
        ([1, 3, 4, 6], True),  # 6 / (1 - 3/4)
        ([1, 1, 1, 1], False),
        ([1, 1, 1, 24], True),
        ([24], True),
        ([23], False),
    ],
)
def test_known_hands(numbers, possible):
    assert solvable(Hand.of(numbers)) is possible


@given(st.lists(st.integers(1, 13), min_size=3, max_size=3), st.integers(1, 40))
@settings(max_examples=30)
def test_solvable_is_the_search_through_all_expressions(numbers, target):
    # Both shapes of an expression with three numbers.
    found = False
    for (a, b, c), (f, g) in product(permutations(numbers), product("+-*/", repeat=2)):
        for text in (f"({a}{f}{b}){g}{c}", f"{a}{f}({b}{g}{c})"):
            try:
                found |= calculate(text) == target
            except DataError:  # a division by zero
                continue
    assert solvable(Hand.of(numbers), target) == found


def test_a_solution_has_its_steps_in_order_and_every_step_is_right():
    hand = Hand.of([4, 9, 10, 13])
    while len(hand.left) > 1:
        hand = next(child for child in combinations(hand) if solvable(child))
    assert solved(hand) and not solved(Hand.of([23])) and not solved(Hand.of([24, 0]))
    assert solved(Hand.of([5]), target=5) and len(hand.steps) == 3
    for step in hand.steps:
        expression, _, rest = step.partition(" = ")
        assert calculate(expression) == calculate(rest.partition(" (left")[0])


def test_every_step_that_there_is_can_be_read_back():
    hand = Hand.of([4, 9, 10, 13])
    for child in combinations(hand):
        assert after_step(hand, child.steps[0]) == child
        for last in combinations(child):
            assert after_step(child, f" {last.steps[-1]} and so on").left == last.left


@pytest.mark.parametrize(
    "line",
    [
        "13 - 9 = 5 (left: 4 5 10)",  # a wrong result
        "13 - 9 = 4 (left: 4 10)",  # a number got lost
        "13 - 9 = 4 (left: 4 4 9)",  # another number came in
        "13 - 8 = 5 (left: 4 5 9 10)",  # there is no 8
        "4 + 4 = 8 (left: 8 9 10 13)",  # there is one 4 only
        "13 - 9 = 4",
        "13 ^ 9 = 4 (left: 4 4 10)",
        "9 / 0 = 4 (left: 4 4 10)",
        "1.2.3 - 9 = 4 (left: 4 4 10)",
        "",
    ],
)
def test_what_is_no_step_is_refused(line):
    assert after_step(Hand.of([4, 9, 10, 13]), line) is None


def test_steps_may_be_written_in_any_order_of_what_is_left():
    after = after_step(Hand.of([4, 9, 10, 13]), "13 - 9 = 4 (left: 10 4 4)")
    assert after.left == (4, 4, 10) and after.steps == ("13 - 9 = 4 (left: 10 4 4)",)
    assert after_step(Hand.of([0, 6]), "6 / 0 = 0 (left: 0)") is None
    assert after_step(Hand.of([3, 8]), "3 / 8 = (3/8) (left: (3/8))").left == (Fraction(3, 8),)
