"""Does a model use what it read long ago? Losses by context, answers, forgetting curves, fair reports   (book section 2.3.6).

Perplexity is the plain measure, exp of the mean loss, and mostly tells how well a model knows the last few words; that
is why it is measured here on the same targets with more and less text before them. The tasks of data/synthetic/long_tasks.py ask
for one thing said long ago. The section ends with what such measurements do not show; `report` and `EqualReading`
refuse the mistakes that code can see. Read next: score.py, perplexity of a text of any length.
"""
import hashlib

import numpy as np

from tinylm import backend
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.generate.protocol import as_language_model
from tinylm.generate.score import token_logprobs

ROWS = 16                      # read at a time: scores of long texts over all words take memory


def last_losses(lm, ids, last, context=None):
    """Nats of the last `last` tokens of every text, with only so much of it before them.

    ids      (rows, n) whole texts
    context  tokens read, those just before the final one: 1 or more, at least `last`; None for all n - 1. The first of
             the scored tokens is given context - last + 1 of them, the final one all
    returns  (rows, last) float64. Different contexts score the same targets, so that only the context differs
    """
    lm, ids = as_language_model(lm), np.asarray(ids)
    context = ids.shape[1] - 1 if context is None else context
    if not 1 <= last <= context < ids.shape[1]:
        raise ShapeError(f"last_losses: {last} targets given {context} tokens, in texts of {ids.shape[1]}: needs "
                         f"1 <= targets <= context <= {ids.shape[1] - 1}")
    parts = []
    for start in range(0, len(ids), ROWS):
        rows = ids[start:start + ROWS, -context - 1:]
        logits = backend.to_cpu(lm.logits(rows[:, :-1])[:, -last:])                     # (b, last, V)
        parts.append(token_logprobs(logits.reshape(-1, logits.shape[-1]), rows[:, -last:].ravel()).reshape(-1, last))
    return -np.concatenate(parts)


def chunk_losses(lm, ids, length):
    """Nats of every token but the first, the texts cut into pieces that are read one without the other.

    ids      (rows, n) with n - 1 a multiple of `length`
    returns  (rows, n - 1). The first targets of a piece have next to no context, however long the text: an artefact that
             makes short pieces look worse (a sliding window pays for having less of it; see score.perplexity)
    """
    ids = np.asarray(ids)
    rows, n = ids.shape
    if (n - 1) % length:
        raise ShapeError(f"chunk_losses: {n - 1} targets do not fall into pieces of {length}")
    at = np.arange(0, n - 1, length)[:, None] + np.arange(length + 1)                   # (pieces, length + 1)
    return last_losses(lm, ids[:, at].reshape(-1, length + 1), length).reshape(rows, n - 1)


def answers_right(lm, ids, answers):
    """Which rows get all of their last `answers` tokens right by the largest score. Returns (rows,) bool.

    Read with the right answers before it (teacher forcing): all right exactly where greedy decoding writes them all.
    """
    return predicted_right(lm, ids, answers).all(axis=1)


def predicted_right(lm, ids, last):
    """Which of the last `last` tokens have the largest score, each given all before it: (rows, n) -> (rows, last) bool."""
    lm, ids, parts = as_language_model(lm), np.asarray(ids), []
    for start in range(0, len(ids), ROWS):
        rows = ids[start:start + ROWS]
        logits = backend.to_cpu(lm.logits(rows[:, :-1])[:, -last:])                     # (b, last, V)
        parts.append(logits.argmax(-1) == rows[:, -last:])
    return np.concatenate(parts)


def forgetting_curve(lm, copies, controls):
    """Accuracy on a passage said before, and on the same passage said for the first time   (Liu et al. 2024)

    copies, controls  (rows, 2 n) of data.long_tasks.repeated_passages
    returns  (copy accuracy, language modeling accuracy) over the second halves; memory is the first minus the second, 0
             for a model that cannot look back so far
    """
    half = copies.shape[1] // 2
    if copies.shape != controls.shape or (copies[:, half:] != controls[:, half:]).any():
        raise DataError("forgetting_curve: copies and controls must end with the same passages")
    return tuple(float(predicted_right(lm, ids, half).mean()) for ids in (copies, controls))


def report(scores, single=False):
    """Mean, least and most of a score over seeds, and over prompts if the task has them.

    scores   (seeds,), or (seeds, prompts)
    single   allow one seed or one prompt
    raises   ConfigError for one of either: results depend on both, and a single number hides it   (book section 2.3.6)
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim not in (1, 2) or not scores.size:
        raise ShapeError(f"report: scores have shape {scores.shape}; give (seeds,) or (seeds, prompts)")
    for count, what in zip(scores.shape, ("seed", "prompt")):
        if count < 2 and not single:
            raise ConfigError(f"report: one {what} says nothing of the spread: measure several, or say single=True")
    return float(scores.mean()), float(scores.min()), float(scores.max())


class EqualReading:
    """Have all that are compared been trained on the same tokens, in the same order?"""

    def __init__(self):
        self._digests = {}

    def read(self, name, seed, ids):
        """Note a batch that `name` was trained on in the run of that seed."""
        digest, tokens = self._digests.get((name, seed), (hashlib.sha256(), 0))
        digest.update(np.ascontiguousarray(ids, np.int64).tobytes())
        self._digests[name, seed] = digest, tokens + ids.size

    def check(self):
        """Return the tokens that each read, of all seeds together. raises DataError naming two that did not read the same."""
        first = {}
        for (name, seed), (digest, tokens) in self._digests.items():
            found = first.setdefault(seed, (name, tokens, digest.hexdigest()))
            if found[1:] != (tokens, digest.hexdigest()):
                raise DataError(f"compare: {name} read {tokens} tokens in the run of seed {seed}, not the {found[1]} of "
                                f"{found[0]}: train both on the same batches")
        for name in {name for name, _ in self._digests}:
            if missing := [seed for seed in first if (name, seed) not in self._digests]:
                raise DataError(f"compare: {name} has no run of seed {missing[0]}: train it from every seed")
        return sum(tokens for _, tokens, _ in first.values())
