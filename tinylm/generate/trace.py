"""Generation laid open, step by step: the book's Table 2.1 for any model and any prefix.

Each row says what the context was, which token was predicted, by which rule, and the probability of
the whole sequence so far as the product it is (eqs. 2.1 and 2.3). Read next: strategies/beam.py.
"""

import dataclasses
import math

import numpy as np

from tinylm import backend
from tinylm.generate.loop import Rows, check_prompt
from tinylm.generate.protocol.language_model import as_language_model
from tinylm.generate.protocol.score import log_softmax
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


def trace_generation(lm, prompt_ids, max_tokens, eos=None, names=None, show=print):
    """Generate greedily and return Table 2.1's rows.

    lm          a language model or a model of tinylm.models
    prompt_ids  (T,) x_0 .. x_{T-1}; x_0 is given, Pr(x_0) = 1
    max_tokens  rows at most; generation also ends with `eos`
    names       function from a token id to its name in the table; str unless given
    show        called with the finished table as text; None to stay silent
    returns     list of TraceRow
    """
    lm, name = as_language_model(lm), names or str
    sequence = list(check_prompt(prompt_ids, lm))
    # Factors of the prompt, each from its own prefix; those of the new tokens as they are chosen.
    first = log_softmax(backend.to_cpu(lm.logits(np.array([sequence], np.int64))))[0]
    total = sum(float(first[i - 1, token]) for i, token in enumerate(sequence) if i)
    rows, table = Rows(lm, [sequence], notice=None), []
    for _ in range(max_tokens):
        logits = rows.next_logits()
        scores, token = log_softmax(logits)[0], int(greedy(logits)[0])
        words = [name(x) for x in sequence]
        context, step = " ".join(words), float(scores[token])
        total += step
        words.append(name(token))
        factors = [f"Pr({words[0]})"] + [
            f"Pr({words[i]}|{' '.join(words[:i])})" for i in range(1, len(words))
        ]
        variable = f"x{len(sequence)}"
        rule = f"argmax_{{{variable} in V}} Pr({variable} | {context})"
        table.append(
            TraceRow(context, words[-1], rule, " ".join(factors), math.exp(step), math.exp(total))
        )
        sequence.append(token)
        rows.append([token])
        if token == eos:
            break
    if show is not None:
        show(format_trace(table))
    return table


def format_trace(table):
    """The rows as a text table, one line a step."""
    header = ("Context", "Predict", "Decision rule", "Sequence probability", "Factor", "Value")
    lines = [header] + [
        (
            row.context,
            row.predict,
            row.rule,
            row.product,
            f"{row.factor:.4f}",
            f"{row.probability:.4g}",
        )
        for row in table
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines
    )
