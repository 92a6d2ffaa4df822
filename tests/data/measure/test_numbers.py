"""Numbers are the same if their values are, in whatever form they are written."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.data.measure.numbers import (
    canonical_number,
    extract_gsm8k_answer,
    numbers_in,
    same_number,
    significant,
)


@pytest.mark.parametrize(
    "text, value",
    [
        # Three heads-or-tails answers of the book (section 3.2.4), and other ways to write them.
        ("3/8", Fraction(3, 8)),
        ("0.375", Fraction(3, 8)),
        ("37.5%", Fraction(3, 8)),
        ("37.5 %", Fraction(3, 8)),
        (".375", Fraction(3, 8)),
        ("1,234", Fraction(1234)),
        ("1,234,567.5", Fraction(2469135, 2)),
        ("-3", Fraction(-3)),
        ("\N{MINUS SIGN}3", Fraction(-3)),
        ("+3", Fraction(3)),
        ("$5", Fraction(5)),
        ("-$5", Fraction(-5)),
        ("$-5", Fraction(-5)),
        ("$ 5", Fraction(5)),
        (" 6 / 4.\n", Fraction(3, 2)),
        ("12.", Fraction(12)),
        ("1,000/2,000", Fraction(1, 2)),
        ("1/2%", Fraction(1, 200)),
        ("0", Fraction(0)),
    ],
)
def test_the_value_of_a_number_does_not_depend_on_its_form(text, value):
    found = canonical_number(text)
    assert found == value and type(found) is Fraction


@pytest.mark.parametrize(
    "text",
    ["", "%", "-", ".", "/2", "1/", "1,23", "1234,567", "12,34,567", "1 234", "3/0", "0/0", "5..",
     "1/2/3", "five", "5 apples", "1e3", "٣", "--3", "1,2345"],
)  # fmt: skip
def test_what_is_not_one_number_has_no_value(text):
    assert canonical_number(text) is None


@given(st.fractions(), st.booleans())
def test_every_fraction_is_its_own_value(number, commas):
    numerator = f"{number.numerator:,}" if commas else str(number.numerator)
    assert canonical_number(f"{numerator}/{number.denominator}") == number


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3))
def test_a_percentage_is_a_hundredth(number):
    assert canonical_number(f"{number:f}%") * 100 == Fraction(number)


def test_a_third_is_not_its_first_three_digits_unless_a_tolerance_allows_it():
    assert not same_number("1/3", "0.333")
    # |1/3 - 333/1000| = 1/3000 exactly, for 33.3% as well
    assert same_number("1/3", "0.333", tolerance=Fraction(1, 3000))
    assert same_number("33.3%", "1/3", tolerance=Fraction(1, 3000))
    assert not same_number("1/3", "0.333", tolerance=Fraction(1, 3001))
    assert same_number("3/8", "37.5 %") and same_number("2", "3", tolerance=1)


def test_no_number_is_the_same_as_nothing():
    assert not same_number("none", "none") and not same_number("3", "") and not same_number("", "3")


def test_numbers_are_found_in_running_text():
    text = "So 8*2=16 hours, 5-3 = 2 or -3; she paid $1,234.50 (37.5%, not 3/8). Then a10, .5, 7 %."
    found = ["8", "2", "16", "5", "3", "2", "-3", "$1,234.50", "37.5%", "3/8", ".5", "7 %"]
    assert numbers_in(text) == found
    assert all(canonical_number(number) is not None for number in found)
    assert numbers_in("\N{MINUS SIGN}$4 and v2.0") == ["-$4"] and numbers_in("none") == []


@pytest.mark.parametrize(
    "text, answer",
    [
        ("He plays 8*2=<<8*2=16>>16 hours.\n#### 16", "16"),
        ("#### 1,234", "1234"),
        ("#### -3", "-3"),
        ("####\N{MINUS SIGN}3.", "-3"),
        ("#### $1,234.50 in all", "1234.50"),
        ("#### +7", "7"),
        # A model may go on with a question of its own: the first answer counts.
        ("#### 4\n\nQ: And then?\nA: 5\n#### 5", "4"),
    ],
)
def test_the_answer_of_gsm8k_stands_after_its_mark(text, answer):
    assert extract_gsm8k_answer(text) == answer


@pytest.mark.parametrize(
    "text", ["The answer is 16.", "### 16", "#### sixteen", "####", "####\n16"]
)
def test_without_the_mark_or_a_number_there_is_no_answer(text):
    assert extract_gsm8k_answer(text) is None


@pytest.mark.parametrize(
    "value, digits, written",
    [
        (Fraction(17, 60), 3, "0.283"),
        (Fraction(1, 2), 3, "0.5"),
        (0, 3, "0"),
        (1000, 3, "1000"),
        (12345, 3, "12300"),
        (Fraction(12345, 10), 3, "1230"),
        (Fraction(-1, 3000), 2, "-0.00033"),
        # exactly half a unit goes to the even digit, a hair more goes up
        (Fraction(125, 1000), 2, "0.12"),
        (Fraction(135, 1000), 2, "0.14"),
        (Fraction(1250001, 10**7), 2, "0.13"),
        (Fraction(9996, 10000), 3, "1"),
        (10**20 + 1, 3, "1" + "0" * 20),
        (Fraction(10**30 + 1, 10**30), 3, "1"),
    ],
)
def test_significant_digits_are_rounded_once(value, digits, written):
    assert significant(value, digits) == written


def test_three_digits_are_significant_by_default():
    assert significant(Fraction(2, 3)) == "0.667"
