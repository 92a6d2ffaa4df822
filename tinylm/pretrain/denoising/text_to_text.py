"""Text to text: every task as a source with an instruction, and a target.

T5; book section 1.2.3.1, Fig. 1.4:

    [CLS] Translate from Chinese to English: 你好！ → <s> Hello!

One model, one loss, any number of tasks; even a score is a text. Read next: seq2seq.py.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

import numpy as np

from tinylm.backend import Random
from tinylm.errors import ConfigError, DataError

ARROW = " → "
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DIGITS = 700  # a quotient of two float64 has fewer digits before its point


@dataclass(frozen=True)
class TextToText:
    """One example.

    instruction  what to do, "Translate from Chinese to English:"; "" for none
    text         what to do it with
    target       the answer
    """

    instruction: str
    text: str
    target: str

    @property
    def source(self) -> str:
        """What the encoder reads."""
        if self.instruction and self.text:
            return f"{self.instruction} {self.text}"
        return self.instruction + self.text

    def __str__(self) -> str:
        return f"[CLS] {self.source}{ARROW}<s> {self.target}"


def parse(line: str, instruction: str = "") -> TextToText:
    """The TextToText that a line shows.

    instruction  must be given, since nothing in the line marks its end
    raises   DataError if the line is not of that form
    """
    source, arrow, target = line.partition(ARROW)
    if not arrow or not source.startswith("[CLS] ") or not target.startswith("<s> "):
        raise DataError(f"parse: {line!r} is not '[CLS] source{ARROW}<s> target'")
    source = source.removeprefix("[CLS] ")
    if not source.startswith(instruction):
        raise DataError(f"parse: the source {source!r} does not begin with {instruction!r}")
    text = source.removeprefix(instruction)
    if instruction:
        text = text.removeprefix(" ")
    return TextToText(instruction, text, target.removeprefix("<s> "))


def number_to_text(x: float, step: float = 0.01) -> str:
    """A score as text, rounded to a multiple of step   (T5 rounds similarities to 0.2).

    Exact in decimals: 0.3 in steps of 0.25 is 1 * 0.25. Halfway between two multiples, the even one
    is taken.

    x, step  numbers, step > 0
    raises   ConfigError for a step that is not positive; DataError for a score that is no number
    """
    x, step = Decimal(str(x)), Decimal(str(step))
    if not step.is_finite() or step <= 0:
        raise ConfigError(f"number_to_text: step {step} must be a positive number")
    if not x.is_finite():
        raise DataError(f"number_to_text: the score {x} is no number: leave the example out")
    # step = digits * 10**exponent, so every multiple of it needs -exponent decimals and no more
    places = max(0, -step.normalize().as_tuple().exponent)
    with localcontext(Context(prec=_DIGITS)):
        multiple = (x / step).to_integral_value(ROUND_HALF_EVEN) * step + 0  # + 0: no "-0"
    return f"{multiple:.{places}f}"


def text_to_number(text: str) -> float | None:
    """The number that a text writes, or None if it is no number: such an answer counts as wrong.

    Digits are 0 to 9 alone, as number_to_text writes them: float() would also read "1_0" and
    the digits of every other script.
    """
    if not _NUMBER.fullmatch(text.strip()):
        return None
    value = float(text)
    if np.isfinite(value):  # 1e999 is inf
        return value
    return None


def mixture_rates(
    sizes: Sequence[int], limit: float = np.inf, temperature: float = 1.0
) -> np.ndarray:
    """The probability of each task: r_i proportional to min(n_i, limit)^(1/temperature).

    Raffel et al. 2020, section 3.5.2: sampling in proportion would hardly ever draw small tasks.

    sizes        (n,) examples of each task
    limit        no task counts as having more examples
    temperature  1: in proportion to sizes;  infinite: all tasks equally likely
    returns      (n,) probabilities
    raises       ConfigError if there is nothing to draw from
    """
    sizes = np.asarray(sizes, np.float64)
    if sizes.ndim != 1 or not len(sizes) or sizes.min() <= 0 or temperature <= 0:
        raise ConfigError(
            f"mixture_rates: sizes {sizes} and temperature {temperature} must be positive"
        )
    rates = np.minimum(sizes, limit) ** (1 / temperature)
    return rates / rates.sum()


def draw_tasks(rates: Sequence[float], rng: Random, count: int) -> np.ndarray:
    """The tasks of `count` examples, drawn at these rates: (count,) integers."""
    return np.searchsorted(np.cumsum(rates)[:-1], rng.uniform((count,), np.float64), side="right")
