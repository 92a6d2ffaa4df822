"""Training data with calls: parts of a text that a tool computes are replaced by the call (book
section 3.2.5, fine-tuning for tool use).

    10 * 4 * 2 = 80 m^3      ->      10 * 4 * 2 = {tool: calculator, expression: 10 * 4 * 2} m^3

A model that is trained on such texts as usual writes calls by itself. At inference the result is in
the place of the call (loop.py), so training has the same: one row ends with the call, and the next
begins with the result,

    [10 * 4 * 2 =] {tool: calculator, ..}        [10 * 4 * 2 = 80] m^3

where the part in brackets is context without loss. The model learns to write calls, never results.
Read next: toolformer.py.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tinylm.data.measure.numbers import canonical_number
from tinylm.data.read.gsm8k import ANNOTATION
from tinylm.errors import DataError
from tinylm.finetune.instruct.conversations import Encoded, encode_sft
from tinylm.prompt.protocol.seam import seam
from tinylm.prompt.reasoning.calculator import calculate, decimal_text
from tinylm.prompt.tools.markers import format_marker
from tinylm.tokenizers.base import Tokenizer

_NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
# An expression with at least one operator, "=", and a number: "10 * 4 * 2 = 80".
_SUM = re.compile(
    rf"(?<![\w.,])(\(*{_NUMBER}\)*(?: ?[-+*/×÷] ?\(*{_NUMBER}\)*)+)(\s*=\s*)({_NUMBER})(?![\w%])"
)


@dataclass(frozen=True)
class Called:
    """A part of a text that a tool gives.

    call    str, a complete call (markers.py)
    result  str that the tool returned, or returns
    """

    call: str
    result: str


def with_calls(pieces: Sequence) -> str:
    """What the model shall write: the text with its calls.

    pieces   list of str and Called
    """
    return "".join(piece.call if isinstance(piece, Called) else piece for piece in pieces)


def with_results(pieces: Sequence) -> str:
    """What stands there in the end: the text with results in the place of calls."""
    return "".join(piece.result if isinstance(piece, Called) else piece for piece in pieces)


def annotate_gsm8k(solution: str) -> list:
    """A solution of GSM8K with calculator calls: 8*2=<<8*2=16>>16 becomes 8*2={tool: ..}.

    An annotation whose value is wrong, or is not followed by its result, is taken out.

    returns  list of str and Called; with_results() of it is the solution without annotations
    """
    pieces, last = [], 0
    for found in ANNOTATION.finditer(solution):
        pieces.append(solution[last : found.start()])
        last = found.end()
        expression, result = found[1].strip(), found[2].strip()
        # Computed once more: training must show the result that the tool returns at inference.
        value = _value(expression)
        # "<<8*2=16>>16 hours": the call takes the place of the annotation and of its result.
        if value == result and solution.startswith(result, last):
            pieces.append(_calculated(expression, result))
            last += len(result)
    return _joined([*pieces, solution[last:]])


def annotate_arithmetic(text: str) -> list:
    """A text with calculator calls where it has an expression, "=" and its value.

    The value must be written as the calculator writes it; other sums stay as they are.

    returns  list of str and Called; with_results() of it is the text
    """
    pieces, last = [], 0
    for found in _SUM.finditer(text):
        expression, result = found[1], found[3]
        # "10 / 4 = 2.5" becomes a call; "10 / 3 = 3.3" does not, as the tool writes 3.33333.
        if _value(expression) == result:
            pieces += [text[last : found.start(3)], _calculated(expression, result)]
            last = found.end()
    return _joined([*pieces, text[last:]])


def encode_calls(
    tokenizer: Tokenizer,
    prompt: str,
    pieces: Sequence,
    begin: tuple[int, ...] = (),
    end: int | None = None,
    result_loss: bool = False,
) -> list[Encoded]:
    """An annotated text as rows for InstructionTuning: one for each call, one for what follows.

    Each row has as context the prompt and the text with results so far, and the loss is on what the
    model writes next, up to the end of its call. So no loss is on results.

    prompt   str before the text
    pieces   list of str and Called
    begin    ids before every row;  end  id that ends the last row, or None
    returns  list of Encoded, with the tokens that the model reads at inference (protocol/seam.py)
    """
    rows, context, new = [], prompt, ""
    for piece in pieces:
        # A row: context without loss | what the model writes, up to the end of its call.
        if isinstance(piece, Called):
            rows.append(_row(tokenizer, context, new + piece.call, begin))
            # From here on the result stands where the call stood, as in loop.py.
            context, new = context + new, piece.result
            if not result_loss:
                context, new = context + new, ""
        else:
            new += piece
    if new:
        rows.append(_row(tokenizer, context, new, begin, end))
    elif end is not None:
        # All that follows is the end token; the tokens before a seam do not depend on what follows.
        before = list(seam(tokenizer, context, "x", begin).prompt)
        rows.append(encode_sft(before, [end]))
    return rows


def _row(tokenizer, context, new, begin, end=None):
    joint = seam(tokenizer, context, new, begin)
    ids = list(joint.continuation)
    if end is not None:
        ids.append(end)
    return encode_sft(joint.prompt, ids)


def _calculated(expression, result):
    return Called(format_marker("calculator", {"expression": expression}), result)


def _value(expression):
    """What the calculator writes for an expression; None for what it cannot compute, or a number
    that is no computation.
    """
    # 3/4 is written like a number and is a computation, too.
    if canonical_number(expression) is not None and "/" not in expression:
        return None
    try:
        return decimal_text(calculate(expression))
    except DataError:
        return None


def _joined(pieces):
    """Neighboring texts as one, without empty ones."""
    found = []
    for piece in pieces:
        if isinstance(piece, str) and found and isinstance(found[-1], str):
            found[-1] += piece
        elif piece:
            found.append(piece)
    return found
