"""Abilities that seem to appear at once: a smooth loss seen through a sharp metric   (book section
2.2.4, Wei et al. 2022b).

An answer of k tokens counts only if every token is right. If a token is right with probability p,
and mistakes are independent, the answer is right with probability p^k: near 0 for long, then a
jump, while p and the loss, -log p, improve evenly. That part of "emergence" is made by the metric
(Schaeffer et al. 2023); whether there is another part, this formula leaves open. Second: a lower
loss does not promise a better task (section 2.2.4, end), so their agreement is measured by ranks.
"""

import math
from collections.abc import Sequence

import numpy as np

from tinylm.errors import ShapeError


def all_tokens_right(p: float, k: int) -> float | np.ndarray:
    """p^k: the probability that all of k independent tokens are right, each with probability p."""
    return np.asarray(p, float) ** k


def sharpness(p: np.ndarray, k: int) -> np.ndarray:
    """Gains of log p^k between neighboring models; d log(p^k) / d log p = k.

    p        (n,) probabilities in order of model size
    returns  (n - 1,) log gain of p^k between neighbors
    """
    return np.diff(k * np.log(np.asarray(p, float)))


def ranks(x: Sequence[int]) -> np.ndarray:
    """Rank of each number from 1, equal numbers sharing their mean rank; (n,) -> (n,)."""
    x = np.asarray(x, float)
    values, group, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)  # the last rank of each group of equal numbers
    return (last - (counts - 1) / 2)[group]


def rank_correlation(x: Sequence[int], y: Sequence[int]) -> float:
    """Spearman's correlation of ranks: 1 for equal orders, -1 for opposite ones, nan if one is
    constant.
    """
    x, y = ranks(x), ranks(y)
    if len(x) != len(y) or len(x) < 2:
        raise ShapeError(
            f"rank_correlation: {len(x)} and {len(y)} numbers: "
            "give two rows of the same length, at least 2"
        )
    x, y = x - x.mean(), y - y.mean()
    size = math.sqrt(float(x @ x) * float(y @ y))
    if size:
        return float(x @ y) / size
    return math.nan
