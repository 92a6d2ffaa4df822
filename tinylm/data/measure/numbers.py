"""Numbers in answers: found in a text, and compared by value   (book sections 3.1.4.5 and 3.2.4).

3/8, 0.375 and 37.5% are one answer in three forms; compared as text they are three, and a vote over
sampled solutions would be a tie. Values are exact fractions, so 1/3 and 0.333 are different numbers
unless a tolerance is given. Read next: answers.py, which compares words.
"""

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction

_WHOLE = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)"  # 1,234 or 1234
_DECIMAL = rf"(?:{_WHOLE}(?:\.[0-9]+)?|\.[0-9]+)"
_FORM = re.compile(rf"([+-]?{_DECIMAL})(?: ?/ ?({_WHOLE}))? ?(%?)\.?")
# In a running text a sign belongs to the number only where nothing stands before it: 5-3 is 5, 3.
_IN_TEXT = re.compile(rf"(?<![\w.])(?:[+-](?=[0-9.$€£]))?[$€£]?{_DECIMAL}(?:/{_WHOLE})?(?: ?%)?")
_CURRENCY = re.compile(r"^([+-]?)[$€£] ?")
_AFTER_MARK = re.compile(rf"####[ \t]*([+-]?[$€£]?{_DECIMAL})")


def canonical_number(text: str) -> Fraction | None:
    """The value of a text that is one number: 3/8, 0.375, .375, 37.5%, 37.5 %, 1,234, -3, $5.

    A currency sign and the period of a sentence are dropped; commas must separate thousands.

    returns  Fraction, exact; None if the text is no number, or divides by zero
    """
    text = _CURRENCY.sub(r"\1", text.strip().replace("\N{MINUS SIGN}", "-"))
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    above, below, percent = match.groups()
    value = Fraction(above.replace(",", ""))
    if below is not None:
        below = int(below.replace(",", ""))
        if below == 0:
            return None
        value /= below
    if percent:
        value /= 100
    return value


def same_number(a: str, b: str, tolerance: int | Fraction = 0) -> bool:
    """True if two texts are the same number, up to an absolute difference.

    tolerance  0 compares exactly: "1/3" and "0.333" differ by 1/3000 and are not the same
    returns    False if one of them is no number
    """
    a, b = canonical_number(a), canonical_number(b)
    if a is None or b is None:
        return False
    return abs(a - b) <= tolerance


def numbers_in(text: str) -> list[str]:
    """The numbers of a running text as they are written, in order: list of str."""
    return _IN_TEXT.findall(text.replace("\N{MINUS SIGN}", "-"))


def extract_gsm8k_answer(text: str) -> str | None:
    """The number after the first "####" as text, without commas and currency   (Cobbe et al. 2021)

    The first, as a model that goes on may add another question with its solution.

    returns  str such as "1234" or "-3"; None if the mark or a number after it is missing
    """
    _, mark, rest = text.replace("\N{MINUS SIGN}", "-").partition("####")
    match = _AFTER_MARK.match(mark + rest)
    if match is None:
        return None
    return re.sub("[$€£,+]", "", match[1])


def significant(value: Fraction, digits: int = 3) -> str:
    """An exact number in decimals with so many significant digits, as few as are needed.

    value    int or Fraction; exactly half a unit is rounded to the even digit
    returns  str, never with an exponent: 17/60 -> "0.283", 4/3 -> "1.33", 1/2 -> "0.5"
    """
    value = Fraction(value)
    # One division rounds once: the two operands are exact whatever the precision.
    context = Context(prec=digits, rounding=ROUND_HALF_EVEN)
    quotient = context.divide(Decimal(value.numerator), Decimal(value.denominator))
    return f"{context.normalize(quotient):f}"
