"""Coin flips: the probability of k heads in n flips of a fair coin   (book section 3.2.4).

The book's example for self-consistency: one flip each of three friends, exactly one head. One
solution lists the outcomes (3 of 8), one uses C(3, 1) 0.5^1 0.5^2 = 0.375, and both agree; the
wrong one, 1/3, does not. Read next: word_problems.py.
"""

from fractions import Fraction
from itertools import product
from math import comb

from tinylm.data.read.items import Item
from tinylm.data.synthetic.draws import at_least, generator
from tinylm.data.synthetic.templates import needed_slots
from tinylm.errors import DataError

_QUESTION = (
    "{flips:d} friends each flip one fair coin. What is the probability that exactly {heads:d} of "
    "them flip heads?"
)


def heads_probability(flips: int, heads: int) -> Fraction:
    """C(n, k) / 2^n, the probability of k heads in n flips of a fair coin: Fraction.

    raises  DataError if k is not in 0 .. n
    """
    if not 0 <= heads <= flips:
        raise DataError(f"{heads} heads in {flips} flips: needs 0 to {flips}")
    return Fraction(comb(flips, heads), 2**flips)


def outcomes(flips: int, heads: int) -> list[str]:
    """The sequences with so many heads, as "HTT", in the order H before T: list of str."""
    every = map("".join, product("HT", repeat=flips))
    return [outcome for outcome in every if outcome.count("H") == heads]


def listing_steps(flips: int, heads: int) -> str:
    """The solution that lists the outcomes."""
    found = outcomes(flips, heads)
    return (
        f"There are 2^{flips} = {2**flips} outcomes. Those with {heads} heads and {flips - heads} "
        f"tails are {', '.join(found)}: {len(found)} of {2**flips}."
    )


def formula_steps(flips: int, heads: int) -> str:
    """The solution with the binomial formula, in decimals."""
    tails = flips - heads
    value = float(heads_probability(flips, heads))
    return (
        f"The probability is C({flips}, {heads}) * 0.5^{heads} * 0.5^{tails} = "
        f"{comb(flips, heads)} * {0.5**heads} * {0.5**tails} = {value}."
    )


def coin_items(count: int, seed: int = 0, most: int = 5) -> list[Item]:
    """Questions with 2 to `most` flips; the solution lists the outcomes: list of Item."""
    at_least("most", most, 2)
    rng, items = generator(seed, "coin flips"), []
    for _ in range(count):
        flips = int(rng.integers(2, most + 1))
        heads = int(rng.integers(0, flips + 1))
        items.append(
            Item(
                _QUESTION.format(flips=flips, heads=heads),
                str(heads_probability(flips, heads)),
                rationale=listing_steps(flips, heads),
                task="coin_flips",
            )
        )
    return items


def solve_coin_flips(item: Item) -> str:
    """The answer, from the question alone. DataError for another question."""
    return str(heads_probability(**needed_slots(_QUESTION, item.question)))
