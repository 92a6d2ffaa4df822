"""Mean and mean square of a few whole numbers   (book section 3.2.1).

The mean square is the mean of the squares, 21 for 1, 3, 5 and 7, not the square of the mean, 16.
The worked solutions are in the words of the book's demonstrations. Read next: coin_flips.py.
"""

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import generator, pick
from tinylm.data.synthetic.templates import needed_slots
from tinylm.errors import ConfigError, DataError

_WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")  # 2, 3, ...
_QUESTION = "Please calculate the {kind} of the numbers {numbers}."
KINDS = ("average", "mean square")


def mean(numbers: Sequence[int]) -> Fraction:
    """The mean of whole numbers as an exact Fraction."""
    return Fraction(sum(numbers), len(numbers))


def mean_square(numbers: Sequence[int]) -> Fraction:
    """The mean of the squares of whole numbers as an exact Fraction."""
    return mean([n * n for n in numbers])


def listed(parts: Sequence[Any]) -> str:
    """Two or more parts as English lists them: "2, 4, and 9", "2 and 4"."""
    *first, last = map(str, parts)
    if len(first) == 1:
        return f"{first[0]} and {last}"
    return f"{', '.join(first)}, and {last}"


def mean_steps(numbers: Sequence[int]) -> str:
    """The worked solution for the mean."""
    total, count = sum(numbers), len(numbers)
    return (
        f"Calculate {_sum(numbers)}, which equals {total}. There are {_WORDS[count - 2]} numbers. "
        f"Divide the total sum by the count, resulting in {total}/{count} = {mean(numbers)}."
    )


def mean_square_steps(numbers: Sequence[int]) -> str:
    """The worked solution for the mean square."""
    squares = [n * n for n in numbers]
    total, count = sum(squares), len(numbers)
    each = listed([f"{n}^2 = {n * n}" for n in numbers])
    return (
        f"Calculate the square of each number: {each}. Sum the squares, {_sum(squares)} = {total}. "
        f"There are {count} numbers in total. Divide the sum by the number of items, "
        f"{total}/{count} = {mean_square(numbers)}."
    )


def _sum(numbers):
    return " + ".join(map(str, numbers))


def mean_items(
    count: int, seed: int = 0, numbers: int = 3, largest: int = 9, kinds: tuple[str, ...] = KINDS
) -> list[Item]:
    """Questions whose answers are whole numbers: list of Item.

    numbers  how many numbers, 2 to 10, each from 1 to `largest`
    kinds    any of KINDS; each item has one of them, drawn at random
    """
    if not 2 <= numbers <= 10 or largest < 1:
        raise ConfigError(f"mean_items: {numbers} numbers up to {largest}: give 2 to 10, up to 1+")
    if not kinds or not set(kinds) <= set(KINDS):
        raise ConfigError(f"mean_items: kinds {kinds} must be some of {KINDS}")
    rng, items = generator(seed, "means"), []
    while len(items) < count:
        kind = pick(kinds, rng)
        drawn = [int(n) for n in rng.integers(1, largest + 1, numbers)]
        value, steps = mean(drawn), mean_steps
        if kind == "mean square":
            value, steps = mean_square(drawn), mean_square_steps
        if value.denominator > 1:
            continue
        question = _QUESTION.format(kind=kind, numbers=listed(drawn))
        items.append(Item(question, str(value), rationale=steps(drawn), task="means"))
    return items


def solve_means(item: Item) -> str:
    """The answer, from the question alone. DataError for another question."""
    found = needed_slots(_QUESTION, item.question)
    numbers = [int(n) for n in re.findall("[0-9]+", found["numbers"])]
    known = found["kind"] in KINDS and len(numbers) >= 2
    if not known or listed(numbers) != found["numbers"]:
        raise DataError(f"no question about a mean: {item.question!r:.80}")
    if found["kind"] == "average":
        return str(mean(numbers))
    return str(mean_square(numbers))
