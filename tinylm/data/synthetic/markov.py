"""Corpora whose best possible loss is known exactly: the ruler by which a training run is measured.

A model trained on a Markov chain must approach its entropy rate and cannot go below it; a cycle has
entropy 0 after one token; the second half of a copy is free to whoever can look back. Book section
2.1.3 (training as maximum likelihood). The rest of the room deals with real text.
"""

from bisect import bisect_right
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

    def __post_init__(self):
        p = np.asarray(self.transition, np.float64)
        if (
            p.ndim != 2
            or p.shape[0] != p.shape[1]
            or (p < 0).any()
            or not np.allclose(p.sum(-1), 1)
        ):
            raise DataError(
                f"Markov chain: transition of shape {p.shape} must be square and non-negative, "
                "its rows summing to 1: divide each row by its sum"
            )
        object.__setattr__(self, "transition", p)

    @classmethod
    def random(cls, vocab_size, seed=0, sharpness=2.0):
        """A chain whose rows are softmax(sharpness * normal): 0 is uniform, larger is more
        predictable.
        """
        scores = sharpness * Random(seed, "markov").normal((vocab_size, vocab_size), np.float64)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        return cls(weights / weights.sum(-1, keepdims=True))

    def stationary(self):
        """The distribution that one step leaves as it is: pi P = pi, sum(pi) = 1. Returns (V,)."""
        V = len(self.transition)
        equations = np.concatenate(
            [self.transition.T - np.eye(V), np.ones((1, V))]
        )  # (V + 1, V), consistent
        return np.linalg.lstsq(equations, np.r_[np.zeros(V), 1.0], rcond=None)[0]

    def entropy_rate(self):
        """The least mean loss any model can have on a long sample, in nats: -sum_i pi_i sum_j P_ij
        log P_ij.
        """
        p = self.transition
        return float(-(self.stationary()[:, None] * p * np.log(np.where(p > 0, p, 1))).sum())

    def sample(self, n, seed=0):
        """n symbols, the first from the stationary distribution. Returns (n,) int64."""
        uniform = Random(seed, "sample").uniform((n,), np.float64).tolist()
        limits = np.cumsum(self.transition, -1)[:, :-1].tolist()  # the last limit is 1
        symbols, row = [], np.cumsum(self.stationary())[:-1].tolist()
        for u in uniform:
            symbols.append(bisect_right(row, u))
            row = limits[symbols[-1]]
        return np.array(symbols, np.int64)


def cycle(period, n, start=0):
    """start, start + 1, ... modulo `period`: each token decides the next, so the best loss is 0.
    Returns (n,) int64.
    """
    return (start + np.arange(n)) % period


def copy_task(rows, length, vocab_size, seed=0):
    """A random string, a separator, the string again: [x, separator, x].

    vocab_size  V: the separator is V - 1, x is uniform over the others
    returns     (rows, 2 * length + 1) int64. A model that attends has loss 0 on the last `length`
                targets; the first `length` cost log(V - 1) each, whatever it does.
    """
    x = Random(seed, "copy").integers(0, vocab_size - 1, (rows, length))
    return np.concatenate(
        [x, np.full((rows, 1), vocab_size - 1), x], axis=1
    )  # (rows, 2 length + 1)
