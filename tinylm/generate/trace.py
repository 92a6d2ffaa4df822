"""Generation step by step: the book's Table 2.1 for any model and any prefix.

Each row gives the context, the token predicted, the decision rule, and the probability of the
sequence so far, written as a product (eqs. 2.1 and 2.3). Read next: strategies/beam.py.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from tinylm import backend
from tinylm.generate.loop import Rows, check_prompt
from tinylm.generate.protocol.language_model import Model, as_language_model
from tinylm.generate.protocol.score import log_probabilities
from tinylm.generate.sample import greedy


@dataclasses.dataclass(frozen=True)
class TraceRow:
    """One step of generation, one row of Table 2.1."""

    context: str  # "<s> a"
    predict: str  # "b"
    rule: str  # "argmax_{x2 in V} Pr(x2 | <s> a)"
    product: str  # "Pr(<s>) Pr(a|<s>) Pr(b|<s> a)"
    factor: float  # Pr(b | <s> a), the last factor
    probability: float  # of the sequence so far, x_0 given


def trace_generation(
    lm: Model,
    prompt_ids: Sequence[int],
    max_tokens: int,
    eos: int | Sequence[int] | None = None,
    names: Callable | None = None,
    show: Callable[[str], None] | None = print,
) -> list[TraceRow]:
    """Generate greedily and return Table 2.1's rows.

    lm          a language model or a model of tinylm.models
    prompt_ids  (T,) x_0 .. x_{T-1}; x_0 is given, Pr(x_0) = 1
    max_tokens  rows at most; generation also ends with `eos`
    names       function from a token id to its name in the table; str unless given
    show        called with the finished table as text; None to print nothing
    returns     list of TraceRow
    """
    lm, name = as_language_model(lm), names or str
    sequence = list(check_prompt(prompt_ids, lm))
    # total = log Pr(x_1 .. x_{T-1} | x_0): row i - 1 of the scores is Pr(. | x_0 .. x_{i-1}), so
    # token i is looked up there, and x_0 has no term.
    first = log_probabilities(backend.to_cpu(lm.logits(np.array([sequence], np.int64))))[0]
    total = sum(float(first[i - 1, token]) for i, token in enumerate(sequence) if i)
    rows, table = Rows(lm, [sequence], notice=None), []
    for _ in range(max_tokens):
        logits = rows.next_logits()
        scores, token = log_probabilities(logits)[0], int(greedy(logits)[0])
        words = [name(x) for x in sequence]
        context, step = " ".join(words), float(scores[token])
        total += step  # eq. 2.2: log Pr grows by one term a token
        # The columns of Table 2.1 as text: Pr(x_0) Pr(x_1|x_0) Pr(x_2|x_0 x_1) ..
        words.append(name(token))
        factors = [f"Pr({words[0]})"]
        for i in range(1, len(words)):
            factors.append(f"Pr({words[i]}|{' '.join(words[:i])})")
        product = " ".join(factors)
        variable = f"x{len(sequence)}"
        rule = f"argmax_{{{variable} in V}} Pr({variable} | {context})"
        row = TraceRow(context, words[-1], rule, product, math.exp(step), math.exp(total))
        table.append(row)
        sequence.append(token)
        rows.append([token])
        if token == eos:
            break
    if show is not None:
        show(format_trace(table))
    return table


def format_trace(table: Sequence) -> str:
    """The rows as a text table, one line a step."""
    header = ("Context", "Predict", "Decision rule", "Sequence probability", "Factor", "Value")
    lines = [header]
    for row in table:
        factor, value = f"{row.factor:.4f}", f"{row.probability:.4g}"
        lines.append((row.context, row.predict, row.rule, row.product, factor, value))
    widths = [max(map(len, column)) for column in zip(*lines)]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths)] for line in lines]
    return "\n".join("  ".join(cells).rstrip() for cells in padded)
