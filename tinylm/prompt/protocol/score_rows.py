"""The probabilities of several continuations of several prompts, each prompt read once.

The keys and values of a prompt are copied for each of its continuations, and these are read side by
side. Read next: scripted.py.
"""

import copy
from collections.abc import Sequence

import numpy as np

from tinylm import backend
from tinylm.generate.protocol.language_model import LanguageModel
from tinylm.generate.protocol.score import log_probabilities

LOGITS = 1 << 26  # logits computed at a time: 256 MiB of float32


def score_rows(
    lm: LanguageModel, rows: Sequence[list[int]], continuations: Sequence[Sequence[list[int]]]
) -> list[list[np.ndarray]]:
    """log Pr of each token of each row's continuations, each row read once.

    rows           B lists of ids, of any lengths
    continuations  B lists of lists of ids
    returns        B lists of float64 arrays
    """
    width = max(map(len, rows))
    padding = np.array([width - len(ids) for ids in rows])  # (B,), aligned at their ends
    tokens = np.array([[0] * (width - len(ids)) + ids for ids in rows])  # (B, width)
    cache = lm.new_cache(len(rows), padding if padding.any() else None)
    first = log_probabilities(backend.to_cpu(lm.next_logits(tokens, cache)))  # (B, V)
    terms = [
        [np.full(len(y), first[b, y[0]]) for y in texts] for b, texts in enumerate(continuations)
    ]
    # Tokens after the first need the continuation itself: (row, number of the continuation).
    longer = [
        (b, k) for b, texts in enumerate(continuations) for k, y in enumerate(texts) if len(y) > 1
    ]
    while longer:
        length = max(len(continuations[b][k]) for b, k in longer) - 1
        count = max(1, min(LOGITS // (length * lm.vocab_size), 2 * len(rows)))
        now, longer = longer[:count], longer[count:]
        branches = _copied(cache) if longer else cache  # the last may use the cache itself up
        branches.select([b for b, _ in now])
        texts = [continuations[b][k] for b, k in now]
        tokens = np.array([y[:-1] + [0] * (length - len(y) + 1) for y in texts])  # (n, length)
        logits = backend.to_cpu(lm.logits(tokens, branches))  # (n, length, V)
        for (b, k), y, scores in zip(now, texts, logits):
            rest = log_probabilities(scores[: len(y) - 1])  # padding at the right is not looked at
            terms[b][k][1:] = rest[np.arange(len(y) - 1), y[1:]]
    return terms


def _copied(cache):
    """A cache that can be cut and continued without changing the other: select() copies arrays."""
    other = copy.copy(cache)
    if hasattr(other, "inner"):
        other.inner = copy.copy(other.inner)
    return other
