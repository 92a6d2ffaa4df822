"""Heads are counted by listing and by the binomial formula, and both agree."""

from fractions import Fraction

import pytest

from tinylm.data.measure.numbers import canonical_number, numbers_in
from tinylm.data.synthetic.prompted.coin_flips import (
    coin_items,
    formula_steps,
    heads_probability,
    listing_steps,
    outcomes,
)
from tinylm.errors import ConfigError, DataError


def test_the_example_of_the_book():
    assert heads_probability(3, 1) == Fraction(3, 8)
    assert outcomes(3, 1) == ["HTT", "THT", "TTH"]
    assert listing_steps(3, 1) == (
        "There are 2^3 = 8 outcomes. Those with 1 heads and 2 tails are HTT, THT, TTH: 3 of 8."
    )
    assert formula_steps(3, 1) == (
        "The probability is C(3, 1) * 0.5^1 * 0.5^2 = 3 * 0.5 * 0.25 = 0.375."
    )


@pytest.mark.parametrize("flips", range(6))
def test_listing_and_formula_agree(flips):
    found = [heads_probability(flips, heads) for heads in range(flips + 1)]
    assert sum(found) == 1
    for heads, value in enumerate(found):
        assert value == Fraction(len(outcomes(flips, heads)), 2**flips)
        assert canonical_number(numbers_in(formula_steps(flips, heads))[-1]) == value


def test_there_are_no_more_heads_than_flips():
    for heads in (-1, 4):
        with pytest.raises(DataError, match=f"{heads} heads in 3 flips"):
            heads_probability(3, heads)


def test_all_questions_up_to_the_limit_occur():
    # 2 flips have 3 counts of heads, 3 flips 4: the rarest has probability 1/8, and of 200 one is
    # missed with probability 7 (7/8)^200 < 1e-10
    assert len({item.question for item in coin_items(200, most=3)}) == 7
    flips = {numbers_in(item.question)[0] for item in coin_items(200)}
    assert flips == {"2", "3", "4", "5"}
    assert {numbers_in(item.question)[0] for item in coin_items(9, most=2)} == {"2"}
    with pytest.raises(ConfigError, match="most is 1"):
        coin_items(1, most=1)
