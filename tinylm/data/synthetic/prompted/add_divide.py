"""Sum divided by product: two numbers, and a rule that only demonstrations show   (book section
3.1.2).

    12 5 -> (12 + 5)/(12 x 5) = 0.283

The value is an exact fraction, written with three significant digits. The book prints 0.138 for
-9 and 4; the value is 5/36 = 0.1389, which rounds to 0.139. Read next: means.py.
"""

from fractions import Fraction

from tinylm.data.measure.numbers import significant
from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import at_least, generator, pick
from tinylm.data.synthetic.templates import needed_slots
from tinylm.errors import DataError

_QUESTION = "{a:d} {b:d}"


def add_divide(a: int, b: int) -> Fraction:
    """(a + b) / (a b) as an exact Fraction. DataError if a or b is 0."""
    if a * b == 0:
        raise DataError(f"add_divide: {a} times {b} is 0, and nothing can be divided by it")
    return Fraction(a + b, a * b)


def add_divide_item(a: int, b: int) -> Item:
    """The question for a pair of numbers: Item.

    The rationale is the expression, which stands before the value in the book's demonstrations.
    """
    value = significant(add_divide(a, b))
    question = _QUESTION.format(a=a, b=b)
    return Item(question, value, rationale=f"({a} + {b})/({a} × {b})", task="add_divide")


def add_divide_items(count: int, seed: int = 0, largest: int = 20) -> list[Item]:
    """Pairs of whole numbers from -largest to largest, none of them 0: list of Item."""
    at_least("largest", largest, 1)
    numbers = [n for n in range(-largest, largest + 1) if n]
    rng = generator(seed, "add divide")
    return [add_divide_item(pick(numbers, rng), pick(numbers, rng)) for _ in range(count)]


def solve_add_divide(item: Item) -> str:
    """The answer, from the question alone. DataError for another question."""
    return significant(add_divide(**needed_slots(_QUESTION, item.question)))
