"""Choosing the next token: pure functions from logits (B, V) to tokens (B,).

`filtered` applies the filters set in `Sampling` in this order, each to what the one before left
over: repetition penalty, temperature, top-k, top-p, min-p, typical, epsilon, eta. `draw_inverse`
then samples from the softmax of the result (book section 2.1.1, "selected according to this
distribution"), or `greedy` takes its maximum (eq. 2.3). Random numbers are arguments, so every
function here is deterministic. Read next: loop.py.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinylm.backend import ArrayLike, Random
from tinylm.errors import DataError, ShapeError
from tinylm.settings import at_least, between, setting, validate


def _top_p_range(value):
    if problem := between(0, 1)(value):
        return problem
    return None if value > 0 else "must be above 0"


def _count(value):
    if isinstance(value, (int, np.integer)) and value >= 1:
        return None
    return "must be a whole number, 1 or more"


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. The default samples from the model's own distribution."""

    temperature: float = setting(
        1.0, "divides the logits; 0 takes the most probable token", at_least(0)
    )
    top_k: int | None = setting(None, "keep the k most probable tokens", _count)
    top_p: float | None = setting(
        None, "keep the fewest tokens whose probability reaches p", _top_p_range
    )
    min_p: float | None = setting(
        None, "keep tokens at least p times as probable as the best", between(0, 1)
    )
    typical_p: float | None = setting(
        None,
        "keep the fewest tokens with surprise nearest the entropy whose probability reaches p",
        _top_p_range,
    )
    epsilon: float | None = setting(
        None, "keep tokens of probability epsilon or more", between(0, 1)
    )
    eta: float | None = setting(
        None, "as epsilon, but lower where the model is unsure", between(0, 1)
    )
    repetition_penalty: float = setting(
        # Far outside of it, scores overflow, or no other token is ever chosen.
        1.0,
        "makes tokens seen before less likely (above 1)",
        between(0.01, 100),
    )

    def __post_init__(self) -> None:
        validate(self)

    @property
    def is_greedy(self) -> bool:
        """True if only the most probable token can be chosen, so no random number is needed."""
        return self.temperature == 0 or self.top_k == 1


# What rules tokens out by their probabilities: of one token that is left it rules out nothing.
FILTERS = "top_k", "top_p", "min_p", "typical_p", "epsilon", "eta"


def without_effect(options: dict[str, Any]) -> list[str]:
    """The options that change nothing, as the most probable token is taken: list of names.

    options  {name of a field of Sampling, or another: value} that were set
    """
    if options.get("temperature") == 0:
        return [name for name in FILTERS if options.get(name) is not None]
    if options.get("top_k") == 1:
        others = ("temperature", *FILTERS[1:])
        return [name for name in others if options.get(name) is not None]
    return []


def highest(logits: np.ndarray) -> np.ndarray | float:
    """The largest score of each row: (..., V) -> (...). Every way to choose a token calls it first.

    raises  DataError if a row has no finite maximum: a NaN or inf in it, or -inf everywhere
    """
    top = logits.max(axis=-1)  # max returns NaN if any score of the row is NaN
    for row, value in enumerate(np.ravel(top).tolist()):
        if not math.isfinite(value):
            raise DataError(
                f"row {row} of the logits has no finite maximum ({value}): the model's "
                "parameters are not finite, or every token was ruled out"
            )
    return top


def repetition_penalty(logits: np.ndarray, seen: np.ndarray | None, penalty: float) -> np.ndarray:
    """Divide positive logits of tokens seen before by `penalty`, multiply negative ones   (CTRL:
    Keskar et al. 2019)

    logits   (B, V);  seen (B, V) bool, see `seen_tokens`
    returns  (B, V)
    """
    # Both lower the score if penalty > 1: dividing a negative logit would raise it.
    return np.where(seen, np.where(logits > 0, logits / penalty, logits * penalty), logits)


def seen_tokens(rows: Sequence[list[int]], vocab_size: int) -> np.ndarray:
    """(B, V) bool: which tokens occur in each of B sequences of ids."""
    seen = np.zeros((len(rows), vocab_size), bool)
    for seen_row, ids in zip(seen, rows):  # seen_row (V,) is a view
        seen_row[np.asarray(ids, np.int64)] = True
    return seen


def temperature(logits: np.ndarray, t: float) -> np.ndarray:
    """Logits of softmax(logits / t)   (t -> 0: the maximum; t -> infinity: uniform).

    The maximum is subtracted first, which changes no probability and keeps small t from
    overflowing. Returns (B, V).
    """
    # What is 0 in the type of the logits would make 0 / 0 of the best.
    t = max(t, float(np.finfo(np.result_type(logits, np.float32)).tiny))
    with np.errstate(over="ignore"):  # a score too far below the best overflows to -inf: p = 0
        return (logits - highest(logits)[..., None]) / t


def top_k(logits: np.ndarray, k: int) -> np.ndarray:
    """The k largest logits; the others become -inf   (Fan et al. 2018). (B, V) -> (B, V).

    Of equal logits the lowest ids stay.
    """
    highest(logits)
    if k >= logits.shape[-1]:
        return logits
    smallest = np.partition(logits, -k, axis=-1)[:, -k : -k + 1 or None]  # (B, 1), the k-th largest
    larger, equal = logits > smallest, logits == smallest  # (B, V)
    # Ties for the last places: fewer than k are larger, and the first equal ones fill up to k.
    room = k - larger.sum(axis=-1, keepdims=True)  # (B, 1)
    kept = larger | (equal & (equal.cumsum(axis=-1) <= room))
    return np.where(kept, logits, -np.inf)


def top_p(logits: np.ndarray, p: float) -> np.ndarray:
    """The smallest set of most probable tokens whose probability reaches p; the others -inf
    (Holtzman et al. 2020)

    The token that crosses p is kept, so at least one is. Of equal logits the lowest ids come first.
    Returns (B, V).
    """
    return _first_that_reach(p, np.argsort(-logits, axis=-1, kind="stable"), logits)


def _first_that_reach(p, order, logits):
    """Logits of the first tokens in `order` (B, V) whose probability reaches p; the others -inf."""
    ordered = np.take_along_axis(probabilities(logits), order, axis=-1)
    # A token stays if those ahead of it have not reached p: the one that crosses p stays too.
    before = np.cumsum(ordered, axis=-1) - ordered
    kept = np.empty(logits.shape, bool)
    np.put_along_axis(kept, order, before < p, axis=-1)  # back to the order of ids
    return np.where(kept, logits, -np.inf)


def min_p(logits: np.ndarray, p: float) -> np.ndarray:
    """Tokens at least p times as probable as the best; the others -inf   (Nguyen et al. 2024).
    (B, V) -> (B, V).
    """
    top = highest(logits)
    if p == 0:
        return logits
    # Pr(x) >= p Pr(best) in logits: the normalizer cancels, z(x) - z(best) >= log p.
    return np.where(logits - top[..., None] >= np.log(p), logits, -np.inf)


def typical(logits: np.ndarray, p: float) -> np.ndarray:
    """Tokens whose surprise is nearest its mean, as few as reach p; the others -inf   (Meister et
    al. 2023)

    Surprise is -log Pr(x), its mean the entropy. Human text stays near that mean, so even the most
    probable token may be removed. Of equally near tokens the lowest ids come first. Returns (B, V).
    """
    probability = probabilities(logits)
    with np.errstate(divide="ignore"):
        surprise = -np.log(probability)
    distance = np.abs(surprise - entropy(probability))
    return _first_that_reach(p, np.argsort(distance, axis=-1, kind="stable"), logits)


def epsilon(logits: np.ndarray, e: ArrayLike) -> np.ndarray:
    """Tokens of probability e or more; the others -inf   (Hewitt et al. 2022)

    e  a number, or (B, 1). The most probable token always stays. Returns (B, V).
    """
    kept = probabilities(logits) >= e
    best = np.arange(logits.shape[-1]) == logits.argmax(axis=-1)[:, None]
    return np.where(kept | best, logits, -np.inf)


def eta(logits: np.ndarray, e: float) -> np.ndarray:
    """Epsilon sampling with the bound min(e, sqrt(e) exp(-entropy)): a flat distribution keeps
    more   (Hewitt et al. 2022)

    Returns (B, V).
    """
    return epsilon(logits, np.minimum(e, e**0.5 * np.exp(-entropy(probabilities(logits)))))


def entropy(probability: np.ndarray) -> np.ndarray:
    """-sum of p log p in nats, 0 log 0 = 0: (B, V) -> (B, 1)."""
    logs = np.log(np.where(probability > 0, probability, 1.0))  # log 1 = 0 in place of log 0
    return -(probability * logs).sum(axis=-1, keepdims=True)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """softmax over V in float64: (B, V) -> (B, V)."""
    weights = np.exp(logits - highest(logits)[..., None], dtype=np.float64)
    return weights / weights.sum(axis=-1, keepdims=True)


def filtered(logits: np.ndarray, sampling: Sampling, seen: np.ndarray | None = None) -> np.ndarray:
    """The logits after all filters of `sampling`, applied in the order of the file's header.

    logits   (B, V);  seen (B, V) bool, needed for a repetition penalty other than 1
    returns  (B, V); with temperature 0 the logits after the penalty
    """
    if sampling.repetition_penalty != 1:
        if seen is None:
            raise ShapeError(
                "filtered: a repetition penalty needs `seen`, the tokens that came before"
            )
        logits = repetition_penalty(logits, seen, sampling.repetition_penalty)
    if sampling.temperature == 0:
        return logits
    if sampling.temperature != 1:
        logits = temperature(logits, sampling.temperature)
    s = sampling
    for keep, bound in (
        (top_k, s.top_k),
        (top_p, s.top_p),
        (min_p, s.min_p),
        (typical, s.typical_p),
        (epsilon, s.epsilon),
        (eta, s.eta),
    ):
        if bound is not None:
            logits = keep(logits, bound)
    return logits


def greedy(logits: np.ndarray) -> np.ndarray:
    """The most probable token, the lowest id among equals   (book eq. 2.3). (B, V) -> (B,).

    raises  DataError if a row has a NaN, or no finite maximum
    """
    highest(logits)
    return logits.argmax(axis=-1)


def draw_inverse(logits: np.ndarray, uniform: Sequence[float]) -> np.ndarray:
    """A token from softmax(logits) by inverting the cumulative distribution.

    logits   (B, V), -inf for impossible tokens
    uniform  (B,) numbers in [0, 1), one a row
    returns  (B,): the first token whose cumulative weight exceeds uniform * total; so never one of
             probability 0
    raises   DataError if a row has a NaN, or no finite maximum
    """
    top = highest(logits)
    # Softmax weights without their normalizer, summed up: (B, V), row[-1] is the total.
    heights = np.exp(logits - top[:, None], dtype=np.float64).cumsum(axis=-1)
    # u < 1 in float64 makes u * total < total, also after rounding, so the token is at most V - 1.
    return np.array(
        [row.searchsorted(u * row[-1], side="right") for row, u in zip(heights, uniform)]
    )


def draw_gumbel(logits: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """A token from softmax(logits): argmax of logits + Gumbel noise -log(-log u)   (Gumbel 1954)

    uniform  (B, V) numbers in [0, 1), one a token. The distribution is that of `draw_inverse`, the
             tokens are not
    returns  (B,)
    """
    highest(logits)
    smallest = np.finfo(np.float64).tiny  # u = 0 would give log 0
    return np.argmax(logits - np.log(-np.log(np.maximum(uniform, smallest))), axis=-1)


class Uniforms:
    """The stream `Random(seed, "sample")`: a uniform number for each token of one row."""

    def __init__(self, seed: int) -> None:
        self._rng, self._drawn = Random(seed, "sample"), []

    def next(self) -> float:
        """The next number in [0, 1), 53 random bits."""
        if not self._drawn:  # 64 at a time: a draw of one number costs nearly as much
            self._drawn = self._rng.uniform(64, np.float64).tolist()[::-1]
        return self._drawn.pop()


def choose(
    logits: np.ndarray,
    sampling: Sampling,
    streams: Sequence[Uniforms],
    seen: np.ndarray | None = None,
) -> np.ndarray:
    """The next token of each row: filters, then draw or maximum.

    logits   (B, V);  sampling Sampling;  streams B Uniforms;  seen as in `filtered`
    returns  (B,) integers
    raises   DataError if a row of logits has a NaN, or no finite maximum
    """
    return pick(filtered(logits, sampling, seen), sampling, streams)


def pick(logits: np.ndarray, sampling: Sampling, streams: Sequence[Uniforms]) -> np.ndarray:
    """The next token of each row, of logits after all filters; arguments and result of choose()."""
    if sampling.is_greedy:  # with top_k 1 too: the one token left is the maximum
        return greedy(logits)
    return draw_inverse(logits, [stream.next() for stream in streams])
