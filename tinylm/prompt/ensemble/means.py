"""Two ways to average distributions: of the probabilities, or of their logarithms   (book section
3.2.4).

    arithmetic   p(v) = sum_k w_k p_k(v)                a mixture: one expert is enough
    geometric    p(v) = prod_k p_k(v)^{w_k} / Z         a product: none may object

They disagree: of (.70, .25, .05) and (.02, .25, .73) the mixture's best is the third, .390, and the
product's the second, .25 * .25 against .70 * .02 and .05 * .73. Read next: models.py and tokens.py,
which use them.
"""

from typing import Any

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError, ShapeError
from tinylm.generate.protocol.score import log_probabilities


def check_weights(weights: ArrayLike | None, count: int) -> np.ndarray:
    """Weights of `count` members as an array that sums to 1; equal for None.

    raises  ShapeError for another number of them; ConfigError if one is negative, or all are 0
    """
    if weights is None:
        weights = np.ones(count)
    weights = np.asarray(weights, np.float64)
    if weights.shape != (count,):
        raise ShapeError(f"weights have shape {weights.shape}, and there are {count} members")
    if not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
        raise ConfigError(
            f"the weights {weights.tolist()} must be 0 or more, and not all 0: they are shares"
        )
    return weights / weights.sum()


def arithmetic_mean(logs: np.ndarray, weights: np.ndarray) -> Any:
    """log sum_k w_k p_k of log-probabilities: (K, ..., V), (K,) -> (..., V)."""
    logs = np.asarray(logs, np.float64)
    with np.errstate(divide="ignore"):
        shares = np.log(weights)  # a weight of 0 becomes -inf, and its member a term of 0
    return log_sum_exp(logs + shares.reshape(-1, *[1] * (logs.ndim - 1)))


def geometric_mean(logs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """log of prod_k p_k^{w_k} / Z: (K, ..., V), (K,) -> (..., V).

    With weights of a sum other than 1 it is a product that is sharper or flatter than a mean.
    """
    logs, weights = np.asarray(logs, np.float64), np.asarray(weights, np.float64)
    used = weights > 0  # 0 * -inf is nan, and a member without weight has no say
    # Z = sum_v prod_k p_k(v)^{w_k} <= 1, with equality where all p_k are the same.
    sums = np.einsum("k,k...->...", weights[used], logs[used])
    return log_probabilities(sums)


def log_sum_exp(logs: ArrayLike) -> np.ndarray | float:
    """log sum_k exp(logs_k) over the first axis, -inf where all are: (K, ...) -> (...)."""
    logs = np.asarray(logs, np.float64)
    top = logs.max(axis=0)
    shift = np.where(np.isfinite(top), top, 0.0)  # -inf - -inf would be nan
    with np.errstate(divide="ignore"):
        return np.log(np.exp(logs - shift).sum(axis=0)) + shift
