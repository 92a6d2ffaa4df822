"""A calculator in the generation loop   (book section 3.1.4.5, footnote 4; Cobbe et al. 2021).

    the model writes   He plays 8*2=<<8*2=
    is forced          16>>
    the model goes on  16 hours.

A language model knows which expression a step needs before it can compute one. When it writes "="
inside an open "<<", the expression is computed and its value is put into the text; whatever the
model would have written there is never generated. Generation stops at the marks and goes on with
the longer text, of which the model has all but the new end in its prefix store
(protocol/prefix_store.py).

A piece ends at "<<", "=" or ">>", never after white space, which the next prompt would lose
(protocol/seam.py); that an annotation ends with its line is read from the finished text. So a reply
in which nothing is computed has the probabilities of plain completion, where no token holds more
than a part of a mark. Stop strings are looked for in the joined text, across pieces and results.
Read next: annotations.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tinylm.backend import Random
from tinylm.errors import DataError
from tinylm.prompt.protocol.text_lm import TextLM
from tinylm.prompt.reasoning.calculator import calculate, decimal_text

OUTSIDE = ("<<",)
INSIDE = ("=", ">>")
GIVEN_UP = ("<<", ">>")  # after an expression that cannot be computed


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
    lm: TextLM,
    prompt: str,
    *,
    begin: str = "",
    max_tokens: int = 256,
    stop: str | Sequence[str] | None = (),
    seed: int = 0,
    calculator: Callable = calculate,
    **sampling: Any,
) -> Calculated:
    """Complete a prompt; the results of annotations come from a calculator.

    max_tokens  of the reply, what the calculator writes included: the reply ends before a result
                that goes beyond it, or beyond the context of the model
    stop        strings that end the reply; one that is a mark too ends it
    calculator  function str -> Fraction that raises DataError for what it cannot compute
    returns     Calculated; without an annotation its text is that of lm.complete
    """
    if isinstance(stop, str):
        stop = (stop,)
    text, computed, pieces = "", [], 0
    while not pieces or room_after(lm, prompt, begin, text, max_tokens) > 0:
        # Where the text has stopped decides what may stop it next.
        marks, expression = OUTSIDE, open_expression(text)
        if expression is not None:
            marks = INSIDE
        if expression is not None and "=" in expression:
            marks = GIVEN_UP
        # y_<j, results included, is what the reply begins with: only its end has not been read.
        reply = lm.complete(
            prompt,
            begin=begin + text,
            max_tokens=max_tokens - lm.count(text),
            stop=(*stop, *marks),
            seed=piece_seed(seed, pieces, "calculator"),
            **sampling,
        )
        pieces += 1
        text += reply.text
        mark = reply.stopped_by
        if mark in stop or mark not in marks:  # also if no stop string ended it
            kept = cut_at(text, stop)
            return Calculated(kept, computed, reply.finish if kept == text else "stop", pieces)
        expression = open_expression(text)
        text += mark
        if mark == "=" and expression is not None:
            result = _result(calculator, expression)
            lm.parsed("annotation", (expression, result))
            computed.append((expression, result))
            if result is not None:
                longer = f"{text}{result}>>"
                # A result is written whole or not at all: half of it would be another number.
                if room_after(lm, prompt, begin, longer, max_tokens) < 0:
                    break
                text = longer
        kept = cut_at(text, stop)
        if kept != text:
            return Calculated(kept, computed, "stop", pieces)
    return Calculated(text, computed, "length", pieces)


def open_expression(text: str) -> str | None:
    """What stands after the "<<" of an annotation that is open at the end of a text.

    An annotation ends with ">>" or with its line.

    returns  str; None if none is open
    """
    # the last "<<" of the last line
    _, mark, inside = text.rpartition("\n")[2].rpartition("<<")
    if not mark or ">>" in inside:
        return None
    return inside


def cut_at(text: str, stop: str | Sequence[str] | None) -> str:
    """A text up to the first of several stop strings in it."""
    return text[: min((text.find(string) for string in stop if string in text), default=None)]


def room_after(lm: TextLM, prompt: str, begin: str, text: str, max_tokens: int) -> int:
    """How many tokens may follow a text; less than 0 if it is too long.

    prompt, begin, max_tokens  as in complete_with_calculator; begin + text is what the reply is
                               made to begin with
    """
    room = max_tokens - lm.count(text)
    if lm.context is not None:
        room = min(room, lm.context - lm.length(prompt, begin + text))
    return room


def _result(calculator, expression):
    try:
        return decimal_text(calculator(expression))
    # No value: the model writes one of its own, as it would without a calculator.
    except DataError:
        return None


def piece_seed(seed: int, piece: int, stream: str) -> int:
    """The seed of a piece of a reply: with the same one, all would begin with the same draws.

    piece    its number, from 0; the first has the seed of the whole reply
    stream   name of the stream of random numbers that the others are drawn from
    """
    if piece == 0:
        return seed
    return int(Random(seed, stream, piece).integers(0, 1 << 62, ()))
