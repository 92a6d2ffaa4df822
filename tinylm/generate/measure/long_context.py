"""Does a model use text from long ago? Losses by context, answers, forgetting curves   (book
section 2.3.6).

Perplexity, exp of the mean loss, mostly measures how well a model uses the last few words; so it is
measured here on the same targets with more and less text before them. The tasks of
data/synthetic/long_tasks.py need one item from far back in the text. The section ends with what
such measurements do not show. Read next: protocol/score.py, perplexity of a text of any length;
train/experiments/compare.py, fair comparisons.
"""

from typing import Any

import numpy as np

from tinylm import backend
from tinylm.errors import DataError, ShapeError
from tinylm.generate.protocol.language_model import Model, as_language_model
from tinylm.generate.protocol.score import token_logprobs

ROWS = 16  # read at a time: scores of long texts over all words take memory


def last_losses(lm: Model, ids: np.ndarray, last: int, context: int | None = None) -> np.ndarray:
    """Losses in nats of the last `last` tokens of every text, given a limited context.

    ids      (rows, n) whole texts
    context  tokens read, those just before the final one: 1 or more, at least `last`; None for all
             n - 1. The first scored token is predicted from context - last + 1 of them, the final
             token from all
    returns  (rows, last) float64. Different contexts score the same targets, so that only the
             context differs
    """
    lm, ids = as_language_model(lm), np.asarray(ids)
    if context is None:
        context = ids.shape[1] - 1
    if not 1 <= last <= context < ids.shape[1]:
        raise ShapeError(
            f"last_losses: {last} targets given {context} tokens, in texts of {ids.shape[1]}: "
            f"needs 1 <= targets <= context <= {ids.shape[1] - 1}"
        )
    parts = []
    for start in range(0, len(ids), ROWS):
        rows = ids[start : start + ROWS, -context - 1 :]  # (b, context + 1)
        logits = backend.to_cpu(lm.logits(rows[:, :-1])[:, -last:])  # (b, last, V)
        flat = logits.reshape(-1, logits.shape[-1])  # (b last, V)
        terms = token_logprobs(flat, rows[:, -last:].ravel())
        parts.append(terms.reshape(-1, last))
    return -np.concatenate(parts)


def chunk_losses(lm: Model, ids: np.ndarray, length: int) -> np.ndarray:
    """Losses in nats of every token but the first, the texts cut into pieces read independently.

    ids      (rows, n) with n - 1 a multiple of `length`
    returns  (rows, n - 1). The first targets of a piece have next to no context, however long the
             text: an artefact that makes short pieces look worse. A sliding window has less of it,
             at a higher cost; see score.perplexity
    """
    ids = np.asarray(ids)
    rows, n = ids.shape
    if (n - 1) % length:
        raise ShapeError(f"chunk_losses: {n - 1} targets do not fall into pieces of {length}")
    # Pieces overlap by one token: the last target of a piece is the first input of the next.
    at = np.arange(0, n - 1, length)[:, None] + np.arange(length + 1)  # (pieces, length + 1)
    pieces = ids[:, at].reshape(-1, length + 1)  # (rows, pieces, length + 1) -> (.., length + 1)
    return last_losses(lm, pieces, length).reshape(rows, n - 1)


def answers_right(lm: Model, ids: np.ndarray, answers: int) -> Any:
    """(rows,) bool: True where each of the last `answers` tokens has the largest score.

    Each is predicted from the correct tokens before it (teacher forcing), so a row is True exactly
    where greedy decoding generates the whole answer.
    """
    return predicted_right(lm, ids, answers).all(axis=1)


def predicted_right(lm: Model, ids: np.ndarray, last: int) -> np.ndarray:
    """(rows, last) bool: which of the last tokens have the largest score given all before them.

    ids  (rows, n)
    """
    lm, ids, parts = as_language_model(lm), np.asarray(ids), []
    for start in range(0, len(ids), ROWS):
        rows = ids[start : start + ROWS]
        logits = backend.to_cpu(lm.logits(rows[:, :-1])[:, -last:])  # (b, last, V)
        parts.append(logits.argmax(-1) == rows[:, -last:])
    return np.concatenate(parts)


def forgetting_curve(lm: Model, copies: np.ndarray, controls: np.ndarray) -> tuple:
    """Accuracy on a repeated passage, and on the same passage at its first occurrence   (Liu et al.
    2024)

    copies, controls  (rows, 2 n) of data.long_tasks.repeated_passages
    returns  (copy accuracy, language modeling accuracy) over the second halves; memory is the first
             minus the second, 0 for a model that cannot attend that far back
    """
    half = copies.shape[1] // 2
    if copies.shape != controls.shape or (copies[:, half:] != controls[:, half:]).any():
        raise DataError("forgetting_curve: copies and controls must end with the same passages")
    return tuple(float(predicted_right(lm, ids, half).mean()) for ids in (copies, controls))
