"""Scoring and re-ranking lists of candidates: a language model as a part of another system   (book
section 2.1).

A recognizer or translator proposes y with log Pr(x | y); the noisy channel adds what the language
model thinks of y: score(y) = log Pr(x | y) + weight * log Pr(y). Read next: contrastive.py.
"""

import dataclasses
import math

import numpy as np

from tinylm.errors import DataError, ShapeError
from tinylm.generate.protocol.language_model import as_language_model
from tinylm.generate.protocol.score import sequence_logprob


@dataclasses.dataclass(frozen=True)
class Ranked:
    """A candidate with the parts of its score."""

    tokens: tuple
    base: float  # what the other system gave it: log Pr(x | y), say
    logprob: float  # of the language model: log Pr(y | x_0)
    score: float  # base + weight * logprob (+ reward * length)


def score_candidates(lm, candidates, context):
    """log Pr(y | context) of every candidate, in one batch.

    candidates  sequences of integers, of any lengths;  context (m,) integers, at least the start token
    returns     (n,) float64
    """
    lm, context = as_language_model(lm), [int(token) for token in context]
    if not context:
        raise ShapeError(
            "score_candidates: the context is empty; begin it with the tokenizer's start token"
        )
    rows = [context + [int(token) for token in y] for y in candidates]
    if not rows:
        return np.zeros(0)
    lengths = np.array([len(row) for row in rows])
    batch = np.array(
        [row + [context[0]] * (max(lengths) - len(row)) for row in rows]
    )  # (n, longest)
    terms = sequence_logprob(lm, batch, lengths, reduction="none")  # padding has no term
    return terms[:, len(context) - 1 :].sum(axis=1)


def rescore_nbest(candidates, lm, weight, context, reward=0.0):
    """An n-best list in the order of base score + weight * language model score + reward * length.

    candidates  list of (tokens, base score)
    weight      of the language model; 0 keeps the order of the base scores
    context     (m,) what y is scored after: at least the start token
    reward      for each token, against the language model's liking for short strings
    returns     list of Ranked, best first; equals keep the order of the list
    """
    logprobs = score_candidates(lm, [tokens for tokens, _ in candidates], context)
    ranked = [
        Ranked(
            tuple(int(token) for token in tokens),
            float(base),
            float(logprob),
            float(base + weight * logprob + reward * len(tokens)),
        )
        for (tokens, base), logprob in zip(candidates, logprobs)
    ]
    for candidate in ranked:
        if math.isnan(candidate.score):  # nan has no place in an order
            raise DataError(
                f"rescore_nbest: the score of {candidate.tokens} is nan: log-probability "
                f"{candidate.logprob}, base score {candidate.base}"
            )
    return sorted(ranked, key=lambda candidate: -candidate.score)
