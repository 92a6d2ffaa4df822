"""Annotations <<expression=result>> of a solution, recomputed   (book section 3.1.4.5, footnote 4;
Cobbe et al. 2021).

Of the 27,998 annotations of GSM8K, 27,996 have the value that calculator.py gives; the other two
are written with //. Read next: error_injection.py.
"""

from dataclasses import dataclass
from fractions import Fraction

from tinylm.data.measure.numbers import canonical_number
from tinylm.data.read.gsm8k import ANNOTATION
from tinylm.errors import DataError
from tinylm.prompt.reasoning.calculator import calculate, decimal_text


@dataclass(frozen=True)
class Annotation:
    """One <<expression=result>>.

    expression, result  str, as written
    value               Fraction of the expression, or None: it cannot be computed
    """

    expression: str
    result: str
    value: Fraction | None

    @property
    def right(self) -> bool:
        """True if the result is the value, or is what the calculator shows for it (0.333333)."""
        if self.value is None:
            return False
        # 1/3 is written 0.333333: rounded as the calculator rounds it.
        written = canonical_number(self.result)
        return written in (self.value, Fraction(decimal_text(self.value)))


def annotations(text: str) -> list[Annotation]:
    """The annotations of a solution, in order: list of Annotation."""
    found = []
    for expression, result in ANNOTATION.findall(text):
        # What is no expression, such as <<3 apples=3>>, has no value and so cannot be right.
        try:
            value = calculate(expression)
        except DataError:
            value = None
        found.append(Annotation(expression, result, value))
    return found
