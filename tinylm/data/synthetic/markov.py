"""Corpora whose lowest possible loss is known exactly, to compare training runs with.

A model trained on a Markov chain must approach its entropy rate and cannot go below it; a cycle has
entropy 0 after one token; the second half of a copy has loss 0 for a model that attends to the
first. Book section 2.1.3 (training as maximum likelihood). Read next: long_tasks.py.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.backend import Random
from tinylm.errors import DataError


@dataclass(frozen=True)
class MarkovChain:
    """A first-order Markov chain over V symbols.

    transition  (V, V) float64: row i is the distribution of the symbol after i. Needs one
                stationary distribution, which every matrix without zeros has.
    """

    transition: np.ndarray

    def __post_init__(self) -> None:
        p = np.asarray(self.transition, np.float64)
        square = p.ndim == 2 and p.shape[0] == p.shape[1]
        if not square or (p < 0).any() or not np.allclose(p.sum(-1), 1):
            raise DataError(
                f"Markov chain: transition of shape {p.shape} must be square and non-negative, "
                "its rows summing to 1: divide each row by its sum"
            )
        object.__setattr__(self, "transition", p)

    @classmethod
    def random(cls, vocab_size: int, seed: int = 0, sharpness: float = 2.0) -> "MarkovChain":
        """A chain with rows softmax(sharpness * normal): 0 is uniform, larger more predictable."""
        scores = sharpness * Random(seed, "markov").normal((vocab_size, vocab_size), np.float64)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        return cls(weights / weights.sum(-1, keepdims=True))

    @classmethod
    def of_text(cls, ids: np.ndarray, vocab_size: int) -> "MarkovChain":
        """The chain of the bigrams of a text: how often j follows i, plus a hundredth.

        ids  (n,) integers below vocab_size
        """
        pairs = np.asarray(ids[:-1], np.int64) * vocab_size + np.asarray(ids[1:], np.int64)
        counts = np.bincount(pairs, minlength=vocab_size**2).reshape(vocab_size, vocab_size) + 0.01
        return cls(counts / counts.sum(-1, keepdims=True))

    def stationary(self) -> np.ndarray:
        """The distribution pi that a step does not change: pi P = pi, sum(pi) = 1. Returns (V,)."""
        V = len(self.transition)
        # (P' - I) pi = 0 and 1' pi = 1: V + 1 equations in V unknowns, one of them redundant.
        equations = np.concatenate([self.transition.T - np.eye(V), np.ones((1, V))])  # (V + 1, V)
        return np.linalg.lstsq(equations, np.r_[np.zeros(V), 1.0], rcond=None)[0]

    def entropy_rate(self) -> float:
        """-sum_i pi_i sum_j P_ij log P_ij in nats: the lowest mean loss on a long sample."""
        p = self.transition
        logs = np.log(np.where(p > 0, p, 1))  # 0 log 0 = 0
        return float(-(self.stationary()[:, None] * p * logs).sum())

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """n symbols, the first from the stationary distribution. Returns (n,) int64."""
        uniform = Random(seed, "sample").uniform((n,), np.float64).tolist()
        # Inverting the cumulative distribution; without its last value, which is 1.
        limits = np.cumsum(self.transition, -1)[:, :-1].tolist()
        symbols, row = [], np.cumsum(self.stationary())[:-1].tolist()
        for u in uniform:
            symbols.append(bisect_right(row, u))
            row = limits[symbols[-1]]  # the distribution after this symbol
        return np.array(symbols, np.int64)


def cycle(period: int, n: int, start: int = 0) -> np.ndarray:
    """start, start + 1, ... modulo `period`, (n,) int64: each token determines the next."""
    return (start + np.arange(n)) % period


def copy_task(rows: int, length: int, vocab_size: int, seed: int = 0) -> np.ndarray:
    """A random string, a separator, the string again: [x, separator, x].

    vocab_size  V: the separator is V - 1, x is uniform over the others
    returns     (rows, 2 * length + 1) int64. A model that attends has loss 0 on the last `length`
                targets; the first `length` cost log(V - 1) each, whatever it does.
    """
    x = Random(seed, "copy").integers(0, vocab_size - 1, (rows, length))
    separator = np.full((rows, 1), vocab_size - 1)
    return np.concatenate([x, separator, x], axis=1)  # (rows, 2 length + 1)


def back_copy(
    chain: MarkovChain, triggers: Sequence[int], rows: int, length: int, seed: int = 0
) -> np.ndarray:
    """Bigrams in which a trigger is followed by the token before it   (Guo et al. 2024).

    For a head of attention it is the least task that is on for a few tokens and off for the others:
    what follows a trigger must be fetched, what follows another token depends on that token alone.

    chain     MarkovChain
    triggers  symbols; the first one of a row, with nothing before it, is followed as by the chain
    returns   (rows, length) int64, each beginning with a symbol of the stationary distribution
    """
    uniform = Random(seed, "back copy").uniform((length, rows), np.float64)
    limits = np.cumsum(chain.transition, -1)[:, :-1]  # (V, V - 1), inverted as in sample()
    found = np.zeros((rows, length), np.int64)
    found[:, 0] = np.searchsorted(np.cumsum(chain.stationary())[:-1], uniform[0], "right")
    for t in range(1, length):
        last = found[:, t - 1]
        drawn = (uniform[t][:, None] >= limits[last]).sum(-1)
        if t > 1:
            drawn = np.where(np.isin(last, triggers), found[:, t - 2], drawn)
        found[:, t] = drawn
    return found
