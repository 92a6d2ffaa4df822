"""Arithmetic on exact fractions, read by a parser of its own   (book section 3.1.4.5, footnote 4).

    sum      = product {("+" | "-") product}
    product  = signed {("*" | "/") signed}
    signed   = ("+" | "-") signed | power             so -2^2 is -(2^2)
    power    = percent ["^" signed]                   so 2^3^2 is 2^(3^2)
    percent  = atom {"%"}                             so 10% is 1/10
    atom     = number | "(" sum ")"

A model writes the expression, so it is never given to `eval`, and what it may cost is limited:
length, depth, and the digits of every value on the way. Read next: calculator_loop.py.
"""

import re
from fractions import Fraction

from tinylm.errors import DataError

LONGEST = 1000  # characters of an expression
DEEPEST = 50  # parentheses, signs and powers inside each other
MOST_BITS = 4096  # of a numerator or denominator: about 1200 digits
EXACT_PLACES = 12  # a finite decimal with more of them is rounded

# Thousands have commas between all groups of three digits, or none.
_NUMBER = r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]*)?|[0-9]+(?:\.[0-9]*)?|\.[0-9]+"
_TOKEN = re.compile(rf"\s*(?:(?P<number>{_NUMBER})|(?P<sign>\*\*|[-+*/^%()])|(?P<other>\S))")
_OTHER_SIGNS = str.maketrans({"\N{MINUS SIGN}": "-", "×": "*", "·": "*", "÷": "/"})


def calculate(text: str) -> Fraction:
    """The value of an arithmetic expression.

    text     numbers (12, 1,234, .5, 3.25), + - * / ^ and parentheses; ** is ^, and the signs
             × · ÷ − are read too. A percent sign divides by 100, wherever it stands: 200 + 10% is
             200.1, as the expression has no way to mean 10% of something but 10% * something
    returns  Fraction
    raises   DataError for what is no expression, a division by zero, an exponent that is no whole
             number, and whatever exceeds the limits above
    """
    if len(text) > LONGEST:
        raise DataError(
            f"the expression has {len(text)} characters, and at most {LONGEST} are read: "
            f"{text[:40]!r}..."
        )
    return _Parser(text).value()


class _Parser:
    """One expression; each method reads its rule of the grammar from `at` on."""

    def __init__(self, text):
        self.text, self.at, self.depth = text, 0, 0
        self.tokens = []  # (kind, token, where it begins)
        for match in _TOKEN.finditer(text.translate(_OTHER_SIGNS)):
            kind = match.lastgroup
            # Its group takes what no rule has: nothing but white space is passed over.
            if kind == "other":
                self._refuse(f"{text[match.start(kind)]!r} is no part of an expression")
            self.tokens.append((kind, match[kind], match.start(kind)))
        # With a token for the end no rule has to look whether one is left.
        self.tokens.append(("end", "", len(text)))

    def value(self):
        value = self._sum()
        if self.tokens[self.at][0] != "end":
            where = self.tokens[self.at][2]
            self._refuse(f"an operator is missing before {self.text[where:]!r:.40}")
        return value

    def _refuse(self, reason):
        raise DataError(f"cannot compute {self.text!r:.80}: {reason}")

    def _next(self, *signs):
        """The next token if it is one of `signs`, and past it; else None."""
        kind, token, _ = self.tokens[self.at]
        if kind != "sign" or token not in signs:
            return None
        self.at += 1
        return token

    def _sum(self):
        value = self._product()
        # A loop and no recursion, so 8 - 4 - 2 is (8 - 4) - 2.
        while sign := self._next("+", "-"):
            term = self._product()
            if sign == "-":
                term = -term
            value = self._checked(value + term)
        return value

    def _product(self):
        value = self._signed()
        while sign := self._next("*", "/"):
            factor = self._signed()
            if sign == "/":
                # a / b = a * (1 / b), which is exact for fractions
                factor = self._inverse(factor)
            value = self._checked(value * factor)
        return value

    def _signed(self):
        # Every recursion of the grammar comes through here.
        self.depth += 1
        if self.depth > DEEPEST:
            self._refuse(f"it is nested more than {DEEPEST} deep")
        if self._next("-"):
            value = -self._signed()
        elif self._next("+"):
            value = self._signed()
        else:
            value = self._power()
        self.depth -= 1
        return value

    def _power(self):
        base = self._percent()
        if self._next("^", "**") is None:
            return base
        # The exponent may have a sign, and a power of its own: 2^-1, 2^3^2 = 2^(3^2).
        exponent = self._signed()
        if exponent.denominator != 1:
            self._refuse(f"the exponent {exponent} is no whole number")
        if exponent < 0:
            base, exponent = self._inverse(base), -exponent
        # base^n has about n times the bits of base; 0, 1 and -1 stay as they are.
        if abs(base) not in (0, 1) and exponent * _bits(base) > MOST_BITS:
            self._refuse(f"{base}^{exponent} has too many digits"[:80])
        return base ** int(exponent)

    def _percent(self):
        value = self._atom()
        while self._next("%"):
            value = self._checked(value / 100)
        return value

    def _atom(self):
        kind, token, where = self.tokens[self.at]
        if kind == "number":
            self.at += 1
            return self._checked(Fraction(token.replace(",", "")))
        if self._next("(") is None:
            rest = self.text[where:] or "the end"
            self._refuse(f"a number or a parenthesis is missing before {rest!r:.40}")
        value = self._sum()
        if self._next(")") is None:
            self._refuse("a parenthesis is not closed")
        return value

    def _inverse(self, value):
        if value == 0:
            self._refuse("it divides by zero")
        return 1 / value

    def _checked(self, value):
        """The value, unless it has more digits than are computed with."""
        if _bits(value) > MOST_BITS:
            self._refuse("a value on the way has too many digits")
        return value


def _bits(value):
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def decimal_text(value: int | Fraction, digits: int = 6) -> str:
    """A fraction as a calculator shows it: 96, -0.25, 0.333333, 33333.3.

    value    Fraction or int
    digits   significant digits of what is no finite decimal of at most 12 places; all digits of
             the whole part are kept
    returns  str without exponent and without zeros at its end
    """
    value = Fraction(value)
    places = EXACT_PLACES
    if 10**places % value.denominator:  # no finite decimal of so many places
        # 33333.3 has 5 digits before the point, which leaves 1 of 6 after it.
        places = max(0, digits - _magnitude(value))
    scaled = str(round(abs(value) * 10**places)).zfill(places + 1)  # half to even
    whole, decimals = scaled[: len(scaled) - places], scaled[len(scaled) - places :].rstrip("0")
    text = whole
    if decimals:
        text = f"{whole}.{decimals}"
    if value < 0:
        text = f"-{text}"
    return text


def _magnitude(value):
    """n such that 10^(n-1) <= |value| < 10^n, from the digits of the fraction; value is not 0."""
    above, below = abs(value.numerator), value.denominator
    n = len(str(above)) - len(str(below))  # off by at most one
    # a and b digits: 10^(a-1) <= above < 10^a and 10^(b-1) <= below < 10^b, so the value lies
    # between 10^(n-1) and 10^(n+1) for n = a - b, and one comparison decides.
    power = Fraction(10) ** n
    if Fraction(above, below) >= power:
        return n + 1
    return n
