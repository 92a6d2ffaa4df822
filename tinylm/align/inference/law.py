"""The exact law of best-of-n: what the best of n independent samples is, what it gains and costs.

Let responses be sorted by reward, and F(i) be the probability that a sample is response i or a
worse one. The best of n is at most i if all n are   (book eqs. 4.85, 4.86):

    P(best = i) = F(i)^n - F(i - 1)^n

It depends on the order of rewards alone, not on their size. Best-of-n is a policy far better than
its price: KL(best of n || policy) <= log n - (n - 1) / n, equal where no response has much
probability of its own   (Beirami et al. 2024, who show that it is a bound). Read next:
best_of_n.py.
"""

import math
from collections.abc import Sequence

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError, ShapeError


def best_of_n_law(p: np.ndarray, rewards: ArrayLike, n: int) -> np.ndarray:
    """The distribution of the best of n independent samples: (K,) float64.

    p        (K,) probabilities of the responses
    rewards  (K,); of samples with equal rewards the first is taken, so responses of one reward
             share its probability in proportion to p
    n        samples, 1 or more
    raises   ShapeError if p and rewards differ in shape; ConfigError for n below 1
    """
    p, rewards = np.asarray(p, float), np.asarray(rewards, float)
    if p.ndim != 1 or p.shape != rewards.shape:
        raise ShapeError(
            f"best_of_n_law: probabilities {p.shape}, rewards {rewards.shape}: (K,) twice"
        )
    if n < 1:
        raise ConfigError(f"best_of_n_law: the best of {n} samples; n is 1 or more")
    _, level = np.unique(rewards, return_inverse=True)  # 0 for the lowest reward, and so on
    mass = np.bincount(level, p)  # of each level
    F = np.cumsum(mass)  # (levels,)
    F /= F[-1]  # exactly 1 at the end: a rounding error there would be one of n times its size
    law = np.diff(F**n, prepend=0.0)
    # Within a level the first best sample is distributed as p.
    share = np.divide(p, mass[level], out=np.zeros_like(p), where=mass[level] > 0)
    return law[level] * share


def expected_best(p: np.ndarray, rewards: np.ndarray, n: int) -> float:
    """E[max of the rewards of n independent samples]: float, not falling with n."""
    return float(best_of_n_law(p, rewards, n) @ np.asarray(rewards, float))


def best_of_n_kl(p: np.ndarray, rewards: np.ndarray, n: int) -> float:
    """KL(best of n || policy) in nats: float."""
    law = best_of_n_law(p, rewards, n)
    there = law > 0
    return float(law[there] @ np.log(law[there] / np.asarray(p, float)[there]))


def over_optimization_curve(
    p: np.ndarray, proxy: np.ndarray, gold: np.ndarray, ns: Sequence[int]
) -> np.ndarray:
    """What more choice by an imperfect reward does to the true one   (book section 4.4.1.4)

    The proxy never falls with n. The gold reward does where the best responses by the proxy are
    worse than good ones: over-optimization (Gao et al. 2023). With proxy = gold there is no gap.

    p            (K,) probabilities of the responses
    proxy, gold  (K,) rewards: the one that chooses, and the one that is wanted
    ns           numbers of samples
    returns      (len(ns), 3) float64: KL(best of n || policy), E[proxy], E[gold]
    """
    rows = []
    for n in ns:
        law = best_of_n_law(p, proxy, n)
        kl = best_of_n_kl(p, proxy, n)
        rows.append((kl, law @ np.asarray(proxy, float), law @ np.asarray(gold, float)))
    return np.array(rows)


def kl_bound(n: int) -> float:
    """log n - (n - 1) / n: the KL of best-of-n if no two samples are ever equal, else more."""
    return math.log(n) - (n - 1) / n
