"""Several reward models and one reward   (book section 4.4.1.4, eq. 4.72; Coste et al. 2024).

    printed       (1/K) sum_k w_k r_k                    eq. 4.72
    mean          sum_k w_k r_k / sum_k w_k
    minimum       min_k r_k                              what all of them grant
    uncertainty   mean - lambda * variance over k        less where they disagree
    Bayesian      sum_k Pr(model k | held-out preferences) r_k

A policy that is trained long enough finds where one reward model is wrong; models with different
errors are wrong in different places. With weights of sum 1 the printed form has a second 1/K, which
makes the KL penalty K times as strong. Level and unit of a model's rewards are free, so members are
standardized before they are compared. Rewards here are arrays with the K members first. Read next:
fusion.py, a combination that is learned; pareto.py, rewards that disagree on purpose.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinylm.align.rewards.reward_model import mean_and_deviation
from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError, ShapeError


def printed_combination(rewards: np.ndarray, weights: Sequence[float] | None = None) -> np.ndarray:
    """(1/K) sum_k w_k r_k: (K, ...) -> (...)   (book eq. 4.72, as it is printed)

    weights   (K,); None: all 1, the plain mean
    """
    rewards, weights = _members("printed_combination", rewards, weights)
    return np.tensordot(weights, rewards, 1) / len(rewards)


def weighted_mean(rewards: np.ndarray, weights: Sequence[float] | None = None) -> np.ndarray:
    """sum_k w_k r_k / sum_k w_k: (K, ...) -> (...). The unit stays, whatever the weights.

    raises   ConfigError for weights that are negative or all 0
    """
    rewards, weights = _members("weighted_mean", rewards, weights)
    if (weights < 0).any() or not weights.sum() > 0:
        raise ConfigError(f"weighted_mean: weights {weights.tolist()} must be 0 or more, not all 0")
    return np.tensordot(weights / weights.sum(), rewards, 1)


def least(rewards: np.ndarray) -> np.ndarray:
    """min_k r_k: (K, ...) -> (...). Worst-case optimization: no member is exploited alone."""
    return _members("least", rewards, None)[0].min(axis=0)


def uncertainty_weighted(rewards: np.ndarray, penalty: float = 0.5) -> np.ndarray:
    """mean_k r_k - penalty * var_k r_k: (K, ...) -> (...)   (Coste et al. 2024, eq. 4)"""
    rewards, _ = _members("uncertainty_weighted", rewards, None)
    return rewards.mean(axis=0) - penalty * rewards.var(axis=0)


def standardized(rewards: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Each member's rewards in units of its own spread on the same responses of the reference.

    rewards    (K, n);  reference (K, m) rewards of the reference policy's responses
    returns    (K, n)
    """
    rewards, _ = _members("standardized", rewards, None)
    moments = np.array([mean_and_deviation(one) for one in reference])  # (K, 2)
    return (rewards - moments[:, :1]) / moments[:, 1:]


def preference_log_likelihood(
    chosen: Sequence[list[int]], rejected: Sequence[list[int]]
) -> np.ndarray:
    """log Pr(held-out preferences | model k) = sum over pairs of log sigma(r_c - r_r): (K,)

    chosen, rejected   (K, P) rewards of P pairs by K models
    """
    d = np.asarray(chosen, np.float64) - np.asarray(rejected, np.float64)
    return -np.logaddexp(0, -d).sum(axis=-1)


def posterior_weights(
    log_likelihood: ArrayLike, prior: Sequence[float] | None = None
) -> np.ndarray:
    """Pr(model k | data), proportional to prior times likelihood: (K,), of sum 1   (Bishop 2006)

    log_likelihood   (K,);  prior (K,) probabilities, None: all equal
    """
    logits = np.asarray(log_likelihood, np.float64)
    if prior is not None:
        logits = logits + np.log(np.asarray(prior, np.float64))
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def average_preference(a: np.ndarray, b: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """Pr(a > b) = sum_k w_k sigma(r_k(a) - r_k(b)): Bayesian model averaging of probabilities.

    a, b     (K, ...) rewards;  weights (K,), of sum 1
    returns  (...): between the members' probabilities, unlike sigma of the averaged difference,
             which one sure member decides alone
    """
    d = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    return np.tensordot(weights, np.exp(-np.logaddexp(0, -d)), 1)


@dataclass(frozen=True)
class RewardEnsemble:
    """Reward models used as one.

    members   list of functions from a list of texts to (n,) rewards, such as RewardModel.score
    combine   function from (K, n) to (n,)
    """

    members: tuple
    combine: object = weighted_mean

    @classmethod
    def trained(
        cls, train: Callable, sets: dict[str, Any], combine: Callable = weighted_mean
    ) -> "RewardEnsemble":
        """An ensemble with a member for each training set, whose errors then differ.

        train    function: (training set, number of the member) -> function from texts to rewards
        sets     of bootstrap(), of parts(), or of several sources or aspects: preferences by
                 factual accuracy, by completeness, ..; a dict gives its values in order
        """
        if isinstance(sets, dict):
            sets = list(sets.values())
        return cls(tuple(train(one, k) for k, one in enumerate(sets)), combine)

    def rewards(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        """The rewards of each member: (K, n)."""
        return np.stack([np.asarray(member(sequences), np.float64) for member in self.members])

    def score(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        """The combined reward of each text: (n,)."""
        return self.combine(self.rewards(sequences))


def bootstrap(data: Sequence[int], count: int, rng: np.random.Generator) -> list[list[int]]:
    """Training sets of diverse members: `count` samples of the data with replacement (bagging).

    returns   list of lists, each as long as the data
    """
    return [[data[i] for i in rng.integers(len(data), size=len(data))] for _ in range(count)]


def parts(data: Sequence[int], count: int, rng: np.random.Generator) -> list[list[int]]:
    """Training sets that share nothing: the data in random order, cut into `count` parts."""
    if count > len(data):
        raise ConfigError(f"parts: {len(data)} examples make no {count} parts of one at least")
    order = rng.permutation(len(data))
    return [[data[i] for i in part] for part in np.array_split(order, count)]


def _members(name, rewards, weights):
    rewards = np.asarray(rewards, np.float64)
    if not rewards.ndim or not len(rewards):
        raise ShapeError(f"{name}: rewards {rewards.shape} must be (K, ...) of one model or more")
    if weights is None:
        weights = np.ones(len(rewards))
    weights = np.asarray(weights, np.float64)
    if weights.shape != (len(rewards),):
        raise ShapeError(f"{name}: {weights.shape} weights for {len(rewards)} models: one each")
    return rewards, weights
