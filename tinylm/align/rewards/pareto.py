"""Rewards that cannot all be high: the Pareto front   (book section 4.4.1.4; Miettinen 1999).

    pi_w = argmax over pi of  sum_m w_m E_pi[r_m] - beta KL(pi || pi_ref)
         = pi_ref exp(sum_m w_m r_m / beta) / Z

Helpful and harmless are two rewards; a weighted sum makes one objective of them, with one best
policy for each weight. A policy is on the front if none is at least as good in every reward and
better in one. Read first: ensemble.py; ../exact/regularized.py.
"""

from typing import Any

import numpy as np

from tinylm.align.exact.expectations import expectation, kl
from tinylm.align.exact.regularized import optimal_policy
from tinylm.backend import ArrayLike
from tinylm.errors import ShapeError


def pareto_front(points: np.ndarray) -> Any:
    """Which points are on the front: none is as good everywhere and better somewhere.

    points   (n, M), higher is better
    returns  (n,) bool; equal points are both on it, or both not
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2:
        raise ShapeError(f"pareto_front: points {points.shape} must be (n, M)")
    # dominates[i, j]: i is at least as good as j in all, and better in one
    as_good = (points[:, None] >= points).all(axis=-1)  # (n, n)
    better = (points[:, None] > points).any(axis=-1)
    return ~(as_good & better).any(axis=0)


def scalarized_policy(
    logref: np.ndarray, rewards: np.ndarray, weights: ArrayLike, beta: float
) -> np.ndarray:
    """log pi_w, the best policy for a weighted sum of rewards, exactly.

    logref   (..., K) log pi_ref of all responses;  rewards (M, ..., K);  weights (M,);  beta > 0
    returns  (..., K)
    """
    return optimal_policy(logref, np.tensordot(weights, rewards, 1), beta)


def trade_off(
    logref: np.ndarray, rewards: np.ndarray, beta: float, steps: int = 11
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best policies for all mixtures of two rewards, (1 - w) r_1 + w r_2.

    logref, rewards  as in scalarized_policy, of one prompt: (K,) and (2, K)
    steps            mixtures, w from 0 to 1
    returns          weights (steps,), expected rewards (steps, 2), KL to the reference (steps,)
    """
    rewards, weights = np.asarray(rewards, np.float64), np.linspace(0, 1, steps)
    policies = [scalarized_policy(logref, rewards, (1 - w, w), beta) for w in weights]
    points = [[expectation(logp, reward) for reward in rewards] for logp in policies]
    return weights, np.array(points), np.array([kl(logp, logref) for logp in policies])
