"""A language model so small that everything about it can be computed by listing all strings.

Vocabulary 2-5, length 1-4: at most 625 strings, each conditional distribution stored in a table. It
gives the exact answer that stochastic estimators are tested against: a sampled mean, a policy
gradient, a bound. Book eq. 2.1 is here a product of table entries. Read next: score.py, sample.py.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinylm.backend import ArrayLike, Random
from tinylm.errors import ConfigError
from tinylm.generate.cache.key_value import check_padding, checked_crop
from tinylm.generate.protocol.language_model import check_tokens


class TokenCache:
    """A cache of the tokens themselves, for a model without hidden state."""

    def __init__(self, batch: int, padding: ArrayLike | None = None) -> None:
        self.tokens, self.padding = np.empty((batch, 0), np.int64), check_padding(padding, batch)

    @property
    def length(self) -> int:
        """Columns read so far."""
        return self.tokens.shape[1]

    def crop(self, length: int) -> None:
        """Forget all columns from `length` on."""
        self.tokens = self.tokens[:, : checked_crop(length, self.length)]

    def select(self, rows: Sequence[int]) -> None:
        """Keep the given rows, in the given order."""
        rows = [int(row) for row in rows]
        self.tokens = self.tokens[rows]
        if self.padding is not None:
            self.padding = self.padding[rows]


class EnumerableLM:
    """Pr(x_i | x_0 .. x_{i-1}) by table lookup, for i = 1 .. length.

    tables   list of `length` arrays; tables[i-1] has i + 1 axes of V: [x_0, .., x_{i-1}] is Pr(. |
             x_0 .. x_{i-1})
    eos      id of the end-of-string token, or None. After eos only eos has probability, so that
             strings of one length cover the strings that ended early, with probabilities that still
             sum to 1
    raises   ConfigError if a table has the wrong shape or a distribution does not sum to 1

    It follows the protocol of language_model.py; its context is `length`. Logits are
    log-probabilities.
    """

    def __init__(
        self, tables: Sequence[np.ndarray], eos: int | Sequence[int] | None = None
    ) -> None:
        self.vocab_size, self.context, self.eos = tables[0].shape[-1], len(tables), eos
        for i, table in enumerate(tables, 1):
            if table.shape != (self.vocab_size,) * (i + 1):
                raise ConfigError(
                    f"EnumerableLM: table {i} has shape {table.shape}, "
                    f"it must be {(self.vocab_size,) * (i + 1)}"
                )
            if (table < 0).any() or not np.allclose(table.sum(-1), 1, rtol=0, atol=1e-9):
                raise ConfigError(f"EnumerableLM: a distribution in table {i} does not sum to 1")
        self.tables = [np.array(table, np.float64) for table in tables]
        if eos is None:
            return
        one_hot = np.arange(self.vocab_size) == eos  # Pr(eos) = 1
        for table in self.tables[1:]:
            # Axes 1 .. i-1 are x_1 .. x_{i-1}. x_0 = eos is not an end: GPT-2 begins texts with it.
            for axis in range(1, table.ndim - 1):
                table.swapaxes(0, axis)[eos] = one_hot  # swapaxes is a view

    @classmethod
    def random(
        cls,
        vocab_size: int,
        length: int,
        seed: int = 0,
        eos: int | Sequence[int] | None = None,
        spread: float = 1.0,
    ) -> "EnumerableLM":
        """A model with random tables: softmax of `spread` times standard normal numbers.

        vocab_size  2 to 5;  length 1 to 4
        """
        if not 2 <= vocab_size <= 5 or not 1 <= length <= 4:
            raise ConfigError(
                f"EnumerableLM.random: vocabulary {vocab_size} and length {length} must be 2-5 "
                "and 1-4, or listing every string is no longer quick"
            )
        rng = Random(seed, "enumerable")
        tables = []
        for i in range(1, length + 1):
            shape = (vocab_size,) * (i + 1)  # x_0 .. x_{i-1}, and the next token
            weights = np.exp(spread * rng.normal(shape, np.float64))
            tables.append(weights / weights.sum(-1, keepdims=True))
        return cls(tables, eos)

    def new_cache(self, batch: int, padding: ArrayLike | None = None) -> TokenCache:
        """An empty TokenCache for B rows."""
        return TokenCache(batch, padding)

    def logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """log Pr(. | everything up to here) after each of `tokens`: (B, T) -> (B, T, V)."""
        tokens = check_tokens(tokens, self, cache)
        if cache is None:
            cache = self.new_cache(len(tokens))
        before = cache.length
        cache.tokens = np.concatenate([cache.tokens, tokens], axis=1)
        out = np.zeros((*tokens.shape, self.vocab_size))  # columns of padding stay 0, never read
        firsts = np.zeros(len(tokens), np.int64)  # the column of each row's x_0
        if cache.padding is not None:
            firsts = cache.padding
        for b, (row, first) in enumerate(zip(cache.tokens, firsts)):
            for t in range(max(before, first), cache.length):
                prefix = tuple(row[first : t + 1])  # x_0 .. x_{i-1}, an index into tables[i-1]
                with np.errstate(divide="ignore"):  # log 0 = -inf is the right score
                    out[b, t - before] = np.log(self.tables[len(prefix) - 1][prefix])
        return out

    def next_logits(self, tokens: np.ndarray, cache: Any = None) -> np.ndarray:
        """log Pr(. | everything up to here) after the last of `tokens`: (B, T) -> (B, V)."""
        return self.logits(tokens, cache)[:, -1]

    def all_strings(self, bos: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Every string x_1 .. x_length after x_0 = bos, with its probability.

        returns  (strings (n, length) int64, probabilities (n,) float64, their sum 1); with eos,
                 only strings in which nothing but eos follows eos
        """
        strings = np.array(list(itertools.product(range(self.vocab_size), repeat=self.context)))
        if self.eos is not None:
            # Keep a string if every token from its first eos on is eos too.
            ended = np.cumsum(strings == self.eos, axis=1) > 0
            strings = strings[(~ended | (strings == self.eos)).all(axis=1)]
        return strings, np.array([self.probability(string, bos) for string in strings])

    def probability(self, string: ArrayLike, bos: int = 0) -> float:
        """Pr(string | x_0 = bos) of at most `length` tokens: the product of eq. 2.1."""
        whole = (bos, *(int(x) for x in string))
        factors = [self.tables[i - 1][whole[:i]][whole[i]] for i in range(1, len(whole))]
        return float(np.prod(factors))

    def expectation(self, f: Callable, bos: int = 0) -> float:
        """E[f] = sum over all strings y of Pr(y) f(y), f a function of (length,) integer arrays."""
        strings, probabilities = self.all_strings(bos)
        return sum(p * f(string) for string, p in zip(strings, probabilities))
