"""Game of 24: reach a target from given numbers with + - * /   (Yao et al. 2023)

    4 9 10 13   ->   13 - 9 = 4 (left: 4 4 10), 10 - 4 = 6 (left: 4 6), 4 * 6 = 24 (left: 24)

A thought combines two numbers into one. The tree is small enough to be searched whole, so that a
search with a narrow beam and an estimated value can be compared with the truth. Values are exact
fractions. Read next: graph_of_thoughts.py.
"""

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from tinylm.prompt.reasoning.calculator import decimal_text

TARGET = 24
_NUMBER = r"\(?-?[0-9.]+(?:/[0-9]+)?\)?"
_STEP = re.compile(rf"({_NUMBER}) ([-+*/]) ({_NUMBER}) = ({_NUMBER}) \(left: ([^a-z]*)\)")
_SIGNS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


@dataclass(frozen=True)
class Hand:
    """Numbers that are left, and how they came about.

    left   tuple of Fraction, in rising order
    steps  tuple of str: "13 - 9 = 4 (left: 4 4 10)"
    """

    left: tuple
    steps: tuple = ()

    @classmethod
    def of(cls, numbers: Sequence[int]) -> "Hand":
        """The beginning of a game."""
        return cls(tuple(sorted(map(Fraction, numbers))))


def combinations(hand: Hand) -> list[Hand]:
    """Every hand that one step leads to: list of Hand. Steps with the same numbers left are one."""
    found = {}
    n = len(hand.left)
    for i in range(n):
        for j in range(i + 1, n):
            # Two numbers go and one comes: n (n - 1) / 2 pairs, at most 6 results of each.
            rest = hand.left[:i] + hand.left[i + 1 : j] + hand.left[j + 1 :]
            for text, value in _results(hand.left[i], hand.left[j]):
                left = tuple(sorted([*rest, value]))
                step = f"{text} = {_text(value)} (left: {' '.join(map(_text, left))})"
                # 2 + 2 and 2 * 2 leave the same numbers, and so the same game.
                found.setdefault(left, Hand(left, (*hand.steps, step)))
    return list(found.values())


def _results(a, b):
    """(expression, value) of two numbers, a <= b."""
    x, y = _text(a), _text(b)
    yield f"{x} + {y}", a + b
    yield f"{x} * {y}", a * b
    # - and / depend on the order.
    yield f"{y} - {x}", b - a
    yield f"{x} - {y}", a - b
    if a != 0:
        yield f"{y} / {x}", b / a
    if b != 0:
        yield f"{x} / {y}", a / b


def _number(text):
    """The value of a number as _text writes it."""
    return Fraction(text.removeprefix("(").removesuffix(")"))


def _text(value):
    text = decimal_text(value)
    if Fraction(text) != value:
        text = str(value)  # 8/3: a rounded number could not be checked
    if value < 0 or "/" in text:
        return f"({text})"
    return text


def after_step(hand: Hand, line: str) -> Hand:
    """The hand after a step written as a line, "13 - 9 = 4 (left: 4 4 10)": None if it is no step.

    It must combine two numbers of the hand, its result must be right, and so must all that is left;
    what stands behind it on the line is not looked at. So steps that a model writes are checked.
    """
    found = _STEP.match(line.strip())
    if found is None:
        return None
    first, sign, second, result, left = found.groups()
    try:
        a, b, value = (_number(text) for text in (first, second, result))
        after = tuple(sorted(map(_number, left.split())))
    except (ValueError, ZeroDivisionError):
        return None
    rest = list(hand.left)
    for number in (a, b):
        if number not in rest:
            return None
        rest.remove(number)
    if sign == "/" and b == 0:
        return None
    if value != _SIGNS[sign](a, b) or after != tuple(sorted([*rest, value])):
        return None
    return Hand(after, (*hand.steps, line.strip()))


def solved(hand: Hand, target: int = TARGET) -> bool:
    """True if the target is all that is left."""
    return hand.left == (target,)


def solvable(hand: Hand, target: int = TARGET) -> bool:
    """True if steps lead from the hand to the target, by trying all: the exact value of a state."""
    return _solvable(hand.left, Fraction(target))


@cache
def _solvable(left, target):
    if len(left) == 1:
        return left[0] == target
    # V(s) = max of V(s') over the children s', cached: other steps lead to the same numbers.
    return any(_solvable(child.left, target) for child in combinations(Hand(left)))
