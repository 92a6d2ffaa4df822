"""Scoring strings: log-probability, perplexity, and the most probable string by trying all of them.

    log Pr(x_0 .. x_m) = sum over i of log Pr(x_i | x_0 .. x_{i-1})   (book eqs. 2.1, 2.2)

where x_0 is given: Pr(x_0) = 1 and it gets no term (book section 2.1, footnotes 1-3). Conditional
generation looks for the y with the largest log Pr(y | x) (eq. 2.15). Read next: trace.py.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from tinylm import backend
from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError, DataError, ShapeError
from tinylm.generate.protocol.language_model import (
    Model,
    as_language_model,
    check_token_ids,
)

MOST_STRINGS = 100_000  # that exhaustive_map tries: some ten seconds with a tiny model


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities over V in float64: (..., V) -> (..., V)."""
    shifted = np.asarray(logits, np.float64) - np.max(logits, axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def token_logprobs(logits: np.ndarray, targets: ArrayLike) -> np.ndarray:
    """log_probabilities(logits)[i, targets[i]], a few rows at a time: (n, V), (n,) -> (n,) float64.

    A float64 copy of all logits of a long text over a large vocabulary would not fit in memory.
    """
    out, step = np.empty(len(targets)), max(1, 2**20 // logits.shape[-1])  # 8 MiB a copy
    for i in range(0, len(targets), step):
        rows = log_probabilities(logits[i : i + step])
        out[i : i + step] = rows[np.arange(len(rows)), targets[i : i + step]]
    return out


def sequence_logprob(
    lm: Model,
    ids: ArrayLike,
    lengths: np.ndarray | None = None,
    reduction: str = "sum",
) -> np.ndarray | float:
    """log Pr(x_1 .. x_m | x_0)   (book eq. 2.2), in nats

    lm         a language model (language_model.py) or a model of tinylm.models
    ids        (T,) one sequence x_0 .. x_m, or (B, T) padded at the right with anything inside the
               vocabulary
    lengths    (B,) tokens of each row that count; all unless given. Padding does not change the
               result
    reduction  "sum": float64 number, (B,) for a batch; "none": the terms, (T - 1,) or (B, T - 1), 0
               for padding
    raises     ShapeError for an empty sequence, lengths that do not fit, or more tokens than the
               context
    """
    if reduction not in ("sum", "none"):
        raise ConfigError(f"sequence_logprob: reduction {reduction!r} is not one of 'sum', 'none'")
    lm, ids = as_language_model(lm), np.asarray(ids)
    batch = ids if ids.ndim == 2 else ids[None]  # (T,) -> (1, T)
    if batch.ndim != 2 or batch.size == 0:
        raise ShapeError(
            f"sequence_logprob: ids have shape {ids.shape}; "
            "give (T,) or (B, T), at least x_0 in each row"
        )
    check_token_ids(batch, lm.vocab_size)
    B, T = batch.shape
    terms = np.zeros((B, T - 1))
    if T > 1:  # x_0 alone has no term
        logits = backend.to_cpu(lm.logits(batch[:, :-1]))  # (B, T-1, V)
        # Column i of the logits scores x_{i+1}: the targets are the ids one column later.
        flat = token_logprobs(logits.reshape(-1, lm.vocab_size), batch[:, 1:].ravel())
        terms = flat.reshape(B, T - 1)
    if lengths is not None:
        lengths = np.asarray(lengths)
        if lengths.shape != (B,) or (lengths < 1).any() or (lengths > T).any():
            raise ShapeError(
                f"sequence_logprob: lengths {lengths.tolist()} must be {B} numbers from 1 to {T}"
            )
        # Term i - 1 belongs to x_i, which is padding from i = length on. `where`, not a product
        # with 0: a term of padding may be -inf.
        terms = np.where(np.arange(1, T) < lengths[:, None], terms, 0.0)
    result = terms
    if reduction == "sum":
        result = terms.sum(axis=-1)
    if ids.ndim == 2:
        return result
    return result[0]


def conditional_logprob(
    lm: Model, x: ArrayLike, y: ArrayLike, reduction: str = "sum"
) -> np.ndarray | float:
    """log Pr(y | x) = sum over j of log Pr(y_j | x, y_1 .. y_{j-1})   (book eq. 2.15)

    x        (m,) context, at least one token;  y (n,) continuation
    returns  a float, or the n terms with reduction "none"
    """
    if len(x) == 0:
        raise ShapeError(
            "conditional_logprob: the context x is empty; begin it with the tokenizer's start token"
        )
    whole = [*np.asarray(x).tolist(), *np.asarray(y).tolist()]
    terms = sequence_logprob(lm, whole, reduction="none")  # (m + n - 1,)
    terms = terms[len(x) - 1 :]  # the first m - 1 are of x itself
    if reduction == "none":
        return terms
    return float(terms.sum())


def perplexity(lm: Model, ids: np.ndarray, stride: int | None = None) -> float:
    """exp(-mean log Pr(x_i | x_0 .. x_{i-1})) over x_1 .. x_m.

    A uniform choice between that many tokens would be as hard to predict.

    ids      (T,) a text of any length. Past the model's context it is read in windows: the next
             `stride` tokens are scored given all that still fits before them
    stride   1 to the context; the context unless given (fastest; a smaller one gives each token
             more text before it)
    """
    lm, ids = as_language_model(lm), np.asarray(ids)
    if ids.ndim != 1 or len(ids) < 2:
        raise ShapeError(
            f"perplexity: ids have shape {ids.shape}; it needs one text (T,) of at least 2 tokens"
        )
    window = len(ids) - 1 if lm.context is None else lm.context
    if stride is None:
        stride = window
    if not 1 <= stride <= window:
        raise ConfigError(f"perplexity: stride {stride} is not between 1 and the context, {window}")
    total = 0.0
    for first in range(1, len(ids), stride):  # score ids[first:last]
        last = min(first + stride, len(ids))
        start = max(0, last - window - 1)  # `window` tokens are read to score the last one
        terms = sequence_logprob(lm, ids[start:last], reduction="none")
        total += terms[first - start - 1 :].sum()  # those before were scored in earlier windows
    with np.errstate(over="ignore"):  # inf where that overflows; nan stays nan
        return float(np.exp(-total / (len(ids) - 1)))


def exhaustive_map(
    lm: Model,
    x: Sequence[int],
    max_length: int,
    eos: int | Sequence[int] | None = None,
) -> tuple:
    """The most probable completion by scoring all of them: argmax over y of log Pr(y | x)   (book
    eq. 2.15)

    x           (m,) context
    max_length  n: every y has n tokens, or fewer where it ends with eos
    returns     (y tuple, its log-probability); of equals the first in the order of ids
    raises      ConfigError where there would be more than 100,000 strings
    """
    lm = as_language_model(lm)
    if lm.vocab_size**max_length > MOST_STRINGS:
        raise ConfigError(
            f"exhaustive_map: {lm.vocab_size}^{max_length} strings are too many; use a beam search"
        )
    best = best_score = None
    for y in itertools.product(range(lm.vocab_size), repeat=max_length):
        if eos is not None and eos in y[:-1]:
            end = y.index(eos) + 1
            if any(y[end:]):  # a string that ends early is tried once: as (.., eos, 0, 0)
                continue
            y = y[:end]
        score = conditional_logprob(lm, x, y)
        if math.isnan(score):
            raise DataError(
                f"exhaustive_map: log Pr of {y} is nan: the model's logits are not finite"
            )
        if best is None or score > best_score:
            best, best_score = y, score
    return best, best_score
