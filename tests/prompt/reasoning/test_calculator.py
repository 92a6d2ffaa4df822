"""Arithmetic is exact, follows the usual precedence, and what costs too much is refused."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinylm.errors import DataError
from tinylm.prompt.reasoning.calculator import (
    DEEPEST,
    EXACT_PLACES,
    LONGEST,
    MOST_BITS,
    calculate,
    decimal_text,
)


@pytest.mark.parametrize(
    "text, value",
    [
        ("8*2", 16),
        ("2 + 3 * 4", 14),  # products before sums
        ("(2 + 3) * 4", 20),
        ("10 - 4 - 3", 3),  # from the left
        ("24 / 4 / 3", 2),
        ("24 / 4 * 3", 18),
        ("1 / 3", Fraction(1, 3)),  # exact: not 0.333
        ("0.1 + 0.2", Fraction(3, 10)),  # in binary floating point it is not
        (".5 * 100", 50),
        ("3. + 1", 4),
        ("1,234 + 1", 1235),
        ("1,234,567.5 * 2", 2469135),
        ("2^10", 1024),
        ("2**10", 1024),
        ("2^3^2", 512),  # powers from the right
        ("-2^2", -4),  # a sign is weaker than a power
        ("(-2)^2", 4),
        ("2^-2", Fraction(1, 4)),
        ("-(-3)", 3),
        ("--3", 3),
        ("+3", 3),
        ("-+-3", 3),
        ("2 - -3", 5),
        ("2 * -3", -6),
        ("0^0", 1),  # as Python's fractions
        ("0^5000", 0),
        ("(-1)^99999", -1),
        ("10%", Fraction(1, 10)),
        ("10%%", Fraction(1, 1000)),
        ("10% * 50", 5),
        ("200 + 10%", Fraction(2001, 10)),
        ("2^50%*4", None),  # 2^(1/2): the percent sign binds first
        ("8 × 2", 16),
        ("8 · 2", 16),
        ("8 ÷ 2", 4),
        ("8 \N{MINUS SIGN} 2", 6),
        ("  7\t", 7),
    ],
)
def test_an_expression_has_the_value_of_its_grammar(text, value):
    if value is None:
        with pytest.raises(DataError, match="the exponent 1/2 is no whole number"):
            calculate(text)
    else:
        found = calculate(text)
        assert found == value and type(found) is Fraction


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("", "missing before 'the end'"),
        ("2 +", "missing before 'the end'"),
        ("* 2", r"missing before '\* 2'"),
        ("2 3", "an operator is missing before '3'"),
        ("2(3)", r"an operator is missing before '\(3\)'"),
        ("(2 + 3", "a parenthesis is not closed"),
        ("2 + 3)", r"an operator is missing before '\)'"),
        ("()", r"missing before '\)'"),
        ("1 / 0", "it divides by zero"),
        ("1 / (2 - 2)", "it divides by zero"),
        ("0 ^ -1", "it divides by zero"),
        ("2 ^ 0.5", "the exponent 1/2 is no whole number"),
        ("two + 3", "'t' is no part of an expression"),
        ("2 + x", "'x' is no part"),
        ("1,23", "',' is no part"),
        ("1234,567", "',' is no part"),
        ("1,2345", "',' is no part"),
        ("1.2.3", "an operator is missing before '.3'"),
        ("10 % 3", "an operator is missing before '3'"),  # no remainder
        ("7 // 2", "missing before '/ 2'"),
        ("__import__('os')", "'_' is no part"),
        ("٣ + 1", "no part"),  # digits are 0 to 9
    ],
)
def test_what_is_no_expression_is_refused_with_the_place(text, complaint):
    with pytest.raises(DataError, match=complaint) as caught:
        calculate(text)
    assert f"cannot compute {text!r}" in str(caught.value)


def test_what_costs_too_much_is_refused():
    assert calculate("1+" * (LONGEST // 2 - 1) + "10") == LONGEST // 2 + 9  # as long as allowed
    with pytest.raises(DataError, match="the expression has 1001 characters, and at most 1000"):
        calculate("1" * 1001)
    for inside in (("(", ")"), ("-", ""), ("1^", "")):
        # The expression itself is the first level.
        assert abs(calculate(inside[0] * (DEEPEST - 1) + "1" + inside[1] * (DEEPEST - 1))) == 1
        with pytest.raises(DataError, match=f"nested more than {DEEPEST} deep"):
            calculate(inside[0] * DEEPEST + "1" + inside[1] * DEEPEST)
    assert calculate("-(1) + -(1) + -(1)") == -3
    assert calculate("+".join(["(1)"] * (DEEPEST + 1))) == DEEPEST + 1  # side by side is not deep
    with pytest.raises(DataError, match="deep"):  # nor does it make room for more
        calculate("(1)+" * 10 + "(" * DEEPEST + "1" + ")" * DEEPEST)


def test_numbers_on_the_way_may_have_4096_bits():
    assert calculate("2^2048") == 2**2048  # 2 has two bits
    with pytest.raises(DataError, match=r"2\^2049 has too many digits"):
        calculate("2^2049")
    assert calculate("2^-2048") == Fraction(1, 2**2048)
    with pytest.raises(DataError, match="too many digits"):
        calculate("9^9^9^9")
    with pytest.raises(DataError, match="too many digits"):
        calculate("(1/2)^3000")  # a denominator counts too
    big = "2^2047"
    assert calculate(f"{big} * {big} * 2") == 2**4095  # 4096 bits
    for text in (f"{big} * {big} * 4", f"{big} * {big} * 2 + {big} * {big} * 2"):
        with pytest.raises(DataError, match="a value on the way has too many digits"):
            calculate(text)
    with pytest.raises(DataError, match="a value on the way has too many digits"):
        calculate(f"(1 / {big} / {big})%")
    assert MOST_BITS == 4096


@st.composite
def expressions(draw, depth=3):
    """(text, value by Python's fractions) of a random expression; value None: divides by zero."""
    if depth == 0 or draw(st.booleans()):
        number = draw(st.integers(0, 99))
        return str(number), Fraction(number)
    (a, x), (b, y) = draw(expressions(depth - 1)), draw(expressions(depth - 1))
    sign = draw(st.sampled_from("+-*/"))
    text = f"({a}) {sign} ({b})"
    if x is None or y is None or (sign == "/" and y == 0):
        return text, None
    return text, {"+": x + y, "-": x - y, "*": x * y, "/": sign == "/" and x / y}[sign]


@given(expressions())
def test_values_are_those_of_fractions(expression):
    text, value = expression
    if value is None:
        with pytest.raises(DataError, match="divides by zero"):
            calculate(text)
    else:
        assert calculate(text) == value


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.data())
def test_without_parentheses_precedence_is_pythons(digits, data):
    signs = data.draw(st.lists(st.sampled_from("+-*/"), min_size=5, max_size=5))
    text = "".join(f"{digit}{sign}" for digit, sign in zip(digits, signs))[:-1]
    if "/0" in text:
        with pytest.raises(DataError, match="divides by zero"):
            calculate(text)
    else:
        exact = "".join(f"Fraction({c})" if c.isdigit() else c for c in text)
        assert calculate(text) == eval(exact, {"Fraction": Fraction})


@given(st.text("0123456789.,+-*/^%() ", max_size=24))
def test_any_text_is_computed_or_refused(text):
    try:
        value = calculate(text)
    except DataError:
        return
    assert type(value) is Fraction


@pytest.mark.parametrize(
    "value, text",
    [
        (96, "96"),
        (0, "0"),
        (1000, "1000"),  # no zero of a whole number is dropped
        (Fraction(-1, 4), "-0.25"),
        (Fraction(1, 20), "0.05"),
        (Fraction(5, 2), "2.5"),
        (Fraction("1234567.25"), "1234567.25"),  # finite decimals keep all their places
        (Fraction(1, 10**EXACT_PLACES), "0.000000000001"),
        (Fraction(12345678, 10**13), "0.00000123457"),  # 13 places: six digits are kept
        (Fraction(1, 3), "0.333333"),
        (Fraction(2, 3), "0.666667"),
        (Fraction(-2, 3), "-0.666667"),
        (Fraction(100, 3), "33.3333"),
        (Fraction(10**9, 7), "142857143"),  # the whole part keeps all of its digits
        (Fraction(91, 9), "10.1111"),  # just above a power of ten
        (Fraction(1, 30), "0.0333333"),
        (Fraction(1, 70), "0.0142857"),
        (Fraction(92, 1387), "0.0663302"),
    ],
)
def test_a_value_is_shown_as_a_calculator_shows_it(value, text):
    assert decimal_text(value) == text


def test_digits_are_significant_ones():
    assert decimal_text(Fraction(2, 3), digits=3) == "0.667"
    assert decimal_text(Fraction(92, 1387), digits=3) == "0.0663"  # the book's fourth example
    assert decimal_text(Fraction(17, 60), digits=3) == "0.283"
    assert decimal_text(Fraction(5, 36), digits=3) == "0.139"  # the book cuts it off: 0.138


@given(st.fractions())
def test_the_text_of_a_value_is_near_it_and_exact_where_it_can_be(value):
    shown = Fraction(decimal_text(value))
    if 10**EXACT_PLACES % value.denominator == 0:
        assert shown == value
    else:
        # Half of the last of six digits, or of 1 if the whole part has more.
        assert abs(shown - value) <= max(abs(value) / 10**5, 1) / 2
    assert calculate(decimal_text(value)) == shown
