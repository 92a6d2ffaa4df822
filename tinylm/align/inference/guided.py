"""Value-guided decoding: a reward steers every token, and no parameter is trained   (book section
4.1, alignment at inference; Mudgal et al. 2024, "controlled decoding").

The optimal policy pi* = ref exp(r / beta) / Z factors into tokens. With the soft value

    V(s) = beta log E[exp(r / beta) | s],  the expectation over completions of s by ref,

    pi*(v | s) = ref(v | s) exp((V(s v) - V(s)) / beta)

so adding V(s v) / beta to the logits samples pi* exactly: the Doob transform. In practice V is a
learned value of prefixes, and only the k most probable tokens are scored. FUDGE (Yang and Klein
2021) is the case of r = log of a classifier's probability and beta = 1. Read first:
best_of_n.py, which chooses whole responses instead.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm import backend
from tinylm.align.inference.best_of_n import every_response
from tinylm.errors import ConfigError
from tinylm.generate.protocol.enumerable import TokenCache
from tinylm.generate.protocol.language_model import Model, as_language_model, check_tokens
from tinylm.generate.strategies.rerank import score_candidates


class GuidedCache:
    """The inner model's cache, and the tokens that it has read."""

    def __init__(self, inner: TokenCache, batch: int) -> None:
        self.inner, self.tokens = inner, np.empty((batch, 0), np.int64)

    @property
    def padding(self) -> np.ndarray | None:
        """Columns of padding of each row, or None."""
        return self.inner.padding

    @property
    def length(self) -> int:
        """Columns read so far."""
        return self.tokens.shape[1]

    def crop(self, length: int) -> None:
        """Forget all columns from `length` on."""
        self.inner.crop(length)
        self.tokens = self.tokens[:, :length]

    def select(self, rows: Sequence[int]) -> None:
        """Keep the given rows, in the given order."""
        rows = [int(row) for row in rows]
        self.inner.select(rows)
        self.tokens = self.tokens[rows]


class ValueGuided:
    """A language model whose next tokens are weighed by exp(value / beta): the protocol of
    generate/protocol/language_model.py.

    lm       the reference
    value    function: (tokens so far as a tuple, candidates (k,)) -> (k,) values of the prefixes
             that these next tokens make
    beta     how much a nat of divergence from the reference costs, in units of the value
    top_k    tokens of the reference that are scored, the others cannot come; None: all
    raises   ConfigError for a beta that is not above 0, or a top_k below 1
    """

    def __init__(
        self, lm: Model, value: Callable, beta: float = 1.0, top_k: int | None = None
    ) -> None:
        if not beta > 0 or (top_k is not None and top_k < 1):
            raise ConfigError(
                f"ValueGuided: beta {beta} must be above 0, and top_k {top_k} 1 or more"
            )
        self.lm, self.value, self.beta, self.top_k = as_language_model(lm), value, beta, top_k
        self.vocab_size, self.context = self.lm.vocab_size, self.lm.context

    def new_cache(self, batch: int, padding: np.ndarray | None = None) -> GuidedCache:
        """An empty cache for B rows."""
        return GuidedCache(self.lm.new_cache(batch, padding), batch)

    def logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """Guided scores of the next token after each of `tokens`: (B, T) -> (B, T, V) float64."""
        return self._guided(tokens, cache, 0)

    def next_logits(self, tokens: Sequence[list[int]], cache: Any = None) -> np.ndarray:
        """Guided scores after the last of `tokens`: (B, T) -> (B, V)."""
        last = np.asarray(tokens).shape[-1] - 1
        return self._guided(tokens, cache, last)[:, 0]  # earlier columns need no values

    def _guided(self, tokens, cache, first):
        """Scores after columns first .. T-1 of `tokens`."""
        tokens = check_tokens(tokens, self, cache)
        if cache is None:
            cache = self.new_cache(len(tokens))
        before = cache.length + first
        scores = np.array(backend.to_cpu(self.lm.logits(tokens, cache.inner)), np.float64)
        scores = scores[:, first:]
        cache.tokens = np.concatenate([cache.tokens, tokens], axis=1)
        starts = cache.padding
        if starts is None:
            starts = np.zeros(len(tokens), np.int64)
        for b, row in enumerate(cache.tokens.tolist()):
            for t in range(scores.shape[1]):
                prefix = tuple(row[int(starts[b]) : before + t + 1])
                if prefix:  # columns of padding are never read
                    scores[b, t] = self._weighed(scores[b, t], prefix)
        return scores

    def _weighed(self, scores, prefix):
        """log ref(v | s) + V(s v) / beta for the candidates, -inf for others: (V,) -> (V,)."""
        candidates = np.flatnonzero(scores > -np.inf)
        if self.top_k is not None and len(candidates) > self.top_k:
            order = np.argsort(-scores[candidates], kind="stable")[: self.top_k]
            candidates = candidates[order]
        guided = np.full_like(scores, -np.inf)
        values = np.asarray(self.value(prefix, candidates), np.float64)
        guided[candidates] = scores[candidates] + values / self.beta
        return guided


def soft_values(
    lm: Model,
    prompt: Sequence[int],
    reward: Callable,
    beta: float,
    max_tokens: int,
    eos: int | None = None,
) -> Callable:
    """The exact soft value of prefixes, by listing every response: a value for ValueGuided.

    reward   function: (prompt, tokens) -> number
    returns  function as ValueGuided takes it. After a finished response the value is its reward
    raises   ConfigError where responses are too many to list
    """
    lm, prompt = as_language_model(lm), tuple(int(token) for token in prompt)
    responses = every_response(lm, prompt, max_tokens, eos=eos)
    terms = {
        one.tokens: one.logprob + reward(prompt, one.tokens) / beta for one in responses
    }  # log[ref(y|x) exp(r / beta)]

    def value(prefix, candidates):
        so_far = prefix[len(prompt) :]
        if eos in so_far or len(so_far) >= max_tokens:
            return np.zeros(len(candidates))  # nothing is left to steer
        found = []
        for token in candidates:
            start = (*so_far, int(token))
            inside = [term for y, term in terms.items() if y[: len(start)] == start]
            known = score_candidates(lm, [start], prompt)[0]  # log ref(prefix | x)
            found.append(beta * (_log_sum(inside) - known))
        return np.array(found)

    return value


def _log_sum(terms):
    top = max(terms)
    return top + math.log(sum(math.exp(term - top) for term in terms))
