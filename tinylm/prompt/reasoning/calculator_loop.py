"""A calculator in the generation loop   (book section 3.1.4.5, footnote 4; Cobbe et al. 2021).

    the model writes   He plays 8*2=<<8*2=
    is forced          16>>
    the model goes on  16 hours.

A language model knows which expression a step needs before it can compute one. When it writes "="
inside an open "<<", the expression is computed and its value is put into the text; whatever the
model would have written there is never generated. Generation stops at the marks and goes on with
the longer text, of which the model has all but the new end in its prefix store
(protocol/prefix_store.py). Read next: annotations.py.
"""

from dataclasses import dataclass

from tinylm.backend import Random
from tinylm.errors import DataError
from tinylm.prompt.reasoning.calculator import calculate, decimal_text

OUTSIDE = ("<<",)
INSIDE = ("=", ">>", "\n")  # an annotation never goes past its line
GIVEN_UP = (">>", "\n")  # after an expression that cannot be computed


@dataclass(frozen=True)
class Calculated:
    """A reply in which annotations were computed.

    text      str, with <<expression=result>>
    computed  list of (expression, result); result None: it could not be computed, and what follows
              is the model's
    finish    as of Completion
    pieces    the number of times that generation went on
    """

    text: str
    computed: list
    finish: str
    pieces: int


def complete_with_calculator(
    lm,
    prompt,
    *,
    begin="",
    max_tokens=256,
    stop=(),
    seed=0,
    calculator=calculate,
    **sampling,
):
    """Complete a prompt; the results of annotations come from a calculator.

    max_tokens  of the reply, what the calculator writes included
    stop        strings that end the reply; one that is a mark too ends it
    calculator  function str -> Fraction that raises DataError for what it cannot compute
    returns     Calculated; without an annotation its text is that of lm.complete
    """
    if isinstance(stop, str):
        stop = (stop,)
    text, computed, marks, pieces = "", [], OUTSIDE, 0
    while True:
        reply = lm.complete(
            prompt,
            begin=begin + text,
            max_tokens=max_tokens - lm.count(text),
            stop=(*stop, *marks),
            seed=_piece_seed(seed, pieces),
            **sampling,
        )
        pieces += 1
        text += reply.text
        mark = reply.stopped_by
        if mark in stop or mark not in marks:  # also if no stop string ended it
            return Calculated(text, computed, reply.finish, pieces)
        text += mark
        if mark == "<<":
            marks = INSIDE
        elif mark != "=":
            marks = OUTSIDE
        else:
            expression = text[text.rindex("<<") + 2 : -1]
            result = _result(calculator, expression)
            lm.parsed("annotation", (expression, result))
            computed.append((expression, result))
            marks = GIVEN_UP
            if result is not None:
                text += f"{result}>>"
                marks = OUTSIDE
        if lm.count(text) >= max_tokens:
            return Calculated(text, computed, "length", pieces)


def _result(calculator, expression):
    try:
        return decimal_text(calculator(expression))
    except DataError:
        return None


def _piece_seed(seed, piece):
    """The seed of a piece: with the same one, every piece would begin with the same draws."""
    if piece == 0:
        return seed
    return int(Random(seed, "calculator", piece).integers(0, 1 << 62, ()))
