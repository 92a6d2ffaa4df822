"""Baselines: what is subtracted from a return so that its gradient varies less   (book eq. 4.25)

    E[ (R - b) d log pi ] = E[ R d log pi ]    if b does not depend on the response

since E[d log pi] = 0. The book's example: a good action is worth +2 and a bad one -10, so that all
updates are large. A mean over G responses that includes the response itself is no such b: in
expectation the gradient is (G-1)/G of the true one. The mean of the others is: factor 1. Neither
changes the variance of the reward, only that of the gradient (book footnote 2). Read next:
advantages.py.
"""

from typing import TYPE_CHECKING

import numpy as np

from tinylm.autograd import grad
from tinylm.errors import DataError

if TYPE_CHECKING:
    from tinylm.align.exact.policies import TablePolicy


def mean_baseline(rewards: np.ndarray) -> np.ndarray:
    """The mean of a group, the response's own reward included: gradients shrink by (G-1)/G.

    rewards  (..., G);  returns (..., G)
    """
    rewards = np.asarray(rewards, np.float64)
    return np.broadcast_to(rewards.mean(axis=-1, keepdims=True), rewards.shape)


def leave_one_out(rewards: np.ndarray) -> np.ndarray:
    """The mean of the other responses of a group: no bias   (Kool et al. 2019)

    rewards  (..., G), G at least 2;  returns (..., G)
    raises   DataError for groups of one
    """
    rewards = np.asarray(rewards, np.float64)
    G = rewards.shape[-1]
    if G < 2:
        raise DataError("leave_one_out: a group has one response, there are no others: draw more")
    return (rewards.sum(axis=-1, keepdims=True) - rewards) / (G - 1)


def score_functions(policy: "TablePolicy") -> np.ndarray:
    """d log pi(y | x) / dtheta of every response to the one prompt of a listed policy.

    returns  (K, P) array, P parameters in the order of policy.parameters()
    """
    logp = policy.logprobs()[0]  # (K,)
    found = []
    for k in range(len(logp)):
        parts = grad(logp[k], policy.parameters(), retain_graph=True)
        found.append(np.concatenate([part.data.ravel() for part in parts]))
    return np.stack(found)


def optimal_baseline(scores: np.ndarray, chance: np.ndarray, rewards: np.ndarray) -> float:
    """The constant with which the gradient varies least: E[|s|^2 R] / E[|s|^2], s = d log pi.

    scores  (K, P);  chance (K,) probabilities;  rewards (K,);  returns float
    """
    weights = chance * (scores**2).sum(axis=1)
    return float(weights @ rewards / weights.sum())


def gradient_variance(scores: np.ndarray, chance: np.ndarray, weights: np.ndarray) -> float:
    """The trace of the covariance of w(y) d log pi(y), y one draw: exact.

    scores  (K, P);  chance (K,);  weights (K,), a return less its baseline;  returns float
    """
    samples = np.asarray(weights)[:, None] * scores  # (K, P)
    mean = chance @ samples
    return float(chance @ (samples**2).sum(axis=1) - mean @ mean)
