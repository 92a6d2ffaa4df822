"""Scoring and re-ranking lists of candidates: a language model as a part of another system   (book
section 2.1).

A speech recognizer or translator proposes candidates y with log Pr(x | y); the noisy-channel score
adds the language model's log-probability: log Pr(x | y) + weight * log Pr(y). Read next:
contrastive.py.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from tinylm.errors import DataError, ShapeError
from tinylm.generate.protocol.language_model import Model, as_language_model
from tinylm.generate.protocol.score import sequence_logprob


@dataclasses.dataclass(frozen=True)
class Ranked:
    """A candidate with the parts of its score."""

    tokens: tuple
    base: float  # score of the other system, such as log Pr(x | y)
    logprob: float  # of the language model: log Pr(y | x_0)
    score: float  # base + weight * logprob (+ reward * length)


def score_candidates(lm: Model, candidates: Sequence, context: Sequence[int]) -> np.ndarray:
    """log Pr(y | context) of every candidate, in one batch.

    candidates  sequences of integers, of any lengths
    context     (m,) integers, at least the start token
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
    longest = max(lengths)
    # Padding at the right, with any token of the vocabulary: no token before it sees it.
    batch = np.array([row + [context[0]] * (longest - len(row)) for row in rows])  # (n, longest)
    terms = sequence_logprob(
        lm, batch, lengths, reduction="none"
    )  # (n, longest - 1), 0 for padding
    return terms[:, len(context) - 1 :].sum(axis=1)  # without the terms of the context itself


def rescore_nbest(
    candidates: Sequence,
    lm: Model,
    weight: float,
    context: Sequence[int],
    reward: Callable | float = 0.0,
) -> list[Ranked]:
    """An n-best list in the order of base score + weight * language model score + reward * length.

    candidates  list of (tokens, base score)
    weight      of the language model; 0 keeps the order of the base scores
    context     (m,) the tokens before y: at least the start token
    reward      for each token: offsets the preference of log Pr(y) for short strings
    returns     list of Ranked, best first; equals keep the order of the list
    """
    logprobs = score_candidates(lm, [tokens for tokens, _ in candidates], context)
    ranked = []
    for (tokens, base), logprob in zip(candidates, logprobs):
        score = float(base + weight * logprob + reward * len(tokens))
        ids = tuple(int(token) for token in tokens)
        if math.isnan(score):  # nan has no place in an order
            raise DataError(
                f"rescore_nbest: the score of {ids} is nan: log-probability {float(logprob)}, "
                f"base score {float(base)}"
            )
        ranked.append(Ranked(ids, float(base), float(logprob), score))
    return sorted(ranked, key=lambda candidate: -candidate.score)
