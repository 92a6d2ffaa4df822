"""Which prompts deserve more evaluations? Bandits over prompts   (book section 3.3.1).

A prompt is an arm, and a pull its score on one more example. Bad prompts are recognized after few
pulls, so a budget goes further than when every prompt is tried on every example. UCB1 keeps the
regret low (Auer et al. 2002):

    pull argmax_k  mean_k + c sqrt(2 ln t / n_k)

Successive rejects (Audibert et al. 2010) and successive halving (Karnin et al. 2013) spend a fixed
budget on finding the best arm. ProTeGi selects its beam with them. The laws of
each stand beside it, as functions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError
from tinylm.prompt.optimize.estimate import PromptEvaluator


@dataclass(frozen=True)
class Pulled:
    """What a bandit has seen.

    counts   (K,) pulls of each arm
    means    (K,) mean reward; 0 for an arm without pulls
    ranking  list of the K arms, best first
    """

    counts: np.ndarray
    means: np.ndarray
    ranking: list

    @property
    def best(self) -> int:
        """The arm that is thought best."""
        return self.ranking[0]


def uniform(pull: Callable, arms: int, budget: int) -> Pulled:
    """As many pulls of every arm as the budget pays for: the baseline.

    pull     function(list of arms, count) -> (arms, count) rewards of the next pulls of each
    arms     K, their number
    returns  Pulled, ranked by means
    raises   ConfigError for a budget below one pull of each arm
    """
    _check("uniform", arms, budget, arms)
    each = budget // arms
    means = np.sum(pull(list(range(arms)), each), axis=1) / each
    return Pulled(np.full(arms, each), means, _ranked(means, range(arms)))


def ucb_indices(counts: ArrayLike, means: ArrayLike, t: int, c: float = 1.0) -> np.ndarray:
    """mean_k + c sqrt(2 ln t / n_k), infinite for an arm without pulls: (K,)

    counts, means  (K,) pulls and mean rewards
    t              pulls of all arms so far
    c              1: UCB1, for rewards from 0 to 1; larger explores more
    """
    counts = np.asarray(counts)
    # The mean of n rewards from 0 to 1 is off by more than this with probability t^-4 at most.
    bonus = c * np.sqrt(2 * np.log(max(t, 1)) / np.maximum(counts, 1))
    return np.where(counts > 0, means + bonus, np.inf)


def ucb(pull: Callable, arms: int, budget: int, c: float = 1.0) -> Pulled:
    """`budget` single pulls, each of the arm with the highest index; of equal ones the first.

    pull     function(list of arms, count) -> (arms, count) rewards of the next pulls of each
    arms     K, their number
    returns  Pulled, ranked by means
    raises   ConfigError for a budget below one pull of each arm
    """
    _check("ucb", arms, budget, arms)
    counts, sums = np.zeros(arms, int), np.zeros(arms)
    for t in range(budget):
        arm = int(ucb_indices(counts, sums / np.maximum(counts, 1), t, c).argmax())
        sums[arm] += pull([arm], 1)[0][0]
        counts[arm] += 1
    means = sums / counts
    return Pulled(counts, means, _ranked(means, range(arms)))


def successive_halving(pull: Callable, arms: int, budget: int) -> Pulled:
    """ceil(log2 K) rounds of equal cost; the better half of the arms stays in each.

    returns  Pulled, ranked by the round in which an arm left, then by means
    raises   ConfigError for a budget below one pull of each arm in each round
    """
    _check("successive_halving", arms, budget, 0)
    rounds = int(np.ceil(np.log2(arms)))
    _check("successive_halving", arms, budget, arms * rounds)
    counts, sums = np.zeros(arms, int), np.zeros(arms)
    left, gone = list(range(arms)), []
    for _ in range(rounds):
        each = budget // (len(left) * rounds)  # half as many arms, twice as many pulls
        sums[left] += np.sum(pull(left, each), axis=1)
        counts[left] += each
        left = _ranked(sums / counts, left)
        half = (len(left) + 1) // 2  # rounded up: ceil(log2 K) rounds leave one
        left, gone = left[:half], left[half:] + gone
    return Pulled(counts, sums / np.maximum(counts, 1), left + gone)


def successive_rejects(pull: Callable, arms: int, budget: int) -> Pulled:
    """K - 1 phases, each of which drops the worst arm. After phase k the arms that are left have

        n_k = ceil((budget - K) / (lbar (K + 1 - k)))      lbar = 1/2 + sum over i = 2 .. K of 1/i

    pulls each.

    returns  Pulled, ranked by the phase in which an arm left
    raises   ConfigError for a budget below one more than the arms
    """
    _check("successive_rejects", arms, budget, arms + 1)
    counts, sums = np.zeros(arms, int), np.zeros(arms)
    left, gone, before = list(range(arms)), [], 0
    for phase in range(1, arms):
        total = int(np.ceil((budget - arms) / (_log_bar(arms) * (arms + 1 - phase))))
        # Pulls of earlier phases count: only what is missing to n_k is pulled.
        sums[left] += np.sum(pull(left, total - before), axis=1)
        counts[left] += total - before
        before = total
        *left, worst = _ranked(sums / counts, left)
        gone.insert(0, worst)
    return Pulled(counts, sums / np.maximum(counts, 1), left + gone)


def _ranked(means, arms):
    """Arms by mean, best first; of equal ones the first."""
    return sorted(arms, key=lambda arm: (-means[arm], arm))


def _check(name, arms, budget, least):
    if arms < 1:
        raise ConfigError(f"{name}: there are no arms to choose from")
    if budget < least:
        raise ConfigError(f"{name}: {arms} arms need {least} pulls or more, and there are {budget}")


def _log_bar(arms):
    return 0.5 + sum(1 / i for i in range(2, arms + 1))


def select_prompts(
    evaluate: PromptEvaluator,
    prompts: Sequence,
    keep: int,
    budget: int,
    rng: np.random.Generator,
    algorithm: Callable = successive_halving,
) -> list[str]:
    """The `keep` prompts that a bandit ranks first; a pull is the score on one example.

    All prompts see the examples in the same random order, so that differences between them are not
    those between examples. After the last example an arm begins again, which costs nothing.

    evaluate   PromptEvaluator
    budget     pulls, of all prompts together
    algorithm  uniform, ucb, successive_halving or successive_rejects
    returns    list of str
    """
    prompts = list(dict.fromkeys(prompts))
    order = rng.permutation(len(evaluate.items))
    taken = np.zeros(len(prompts), int)

    def pull(arms, count):
        # Arms that are pulled together have been pulled equally often.
        which = order[(taken[arms[0]] + np.arange(count)) % len(order)]
        taken[arms] += count
        return evaluate.values([prompts[arm] for arm in arms], which)

    return [prompts[arm] for arm in algorithm(pull, len(prompts), budget).ranking[:keep]]


# The laws. `means` are the arms' true means; D_k is the distance of arm k from the best.


def ucb_regret_bound(means: Sequence[float], budget: int) -> float:
    """What UCB1 loses against pulling the best arm alone is, in expectation, at most

    8 ln(n) sum over D_k > 0 of 1 / D_k + (1 + pi^2 / 3) sum over k of D_k   (Auer et al. 2002)
    """
    gaps = np.max(means) - np.asarray(means, float)
    gaps = gaps[gaps > 0]
    return float(8 * np.log(budget) * (1 / gaps).sum() + (1 + np.pi**2 / 3) * gaps.sum())


def hardness(means: Sequence[float]) -> float:
    """H2 = max over i = 2 .. K of i / D_(i)^2, arms in order of means   (Audibert et al. 2010)"""
    means = np.sort(np.asarray(means, float))[::-1]
    gaps = means[0] - means[1:]
    return float(np.max(np.arange(2, len(means) + 1) / gaps**2))


def halving_error_bound(means: Sequence[float], budget: int) -> float:
    """Successive halving misses the best arm with probability at most

    3 log2(K) exp(-budget / (8 H2 log2(K)))   (Karnin et al. 2013)
    """
    log_arms = np.log2(len(means))
    return float(3 * log_arms * np.exp(-budget / (8 * hardness(means) * log_arms)))


def rejects_error_bound(means: Sequence[float], budget: int) -> float:
    """Successive rejects misses the best arm with probability at most

    K (K - 1) / 2 exp(-(budget - K) / (lbar H2))   (Audibert et al. 2010)
    """
    k = len(means)
    exponent = (budget - k) / (_log_bar(k) * hardness(means))
    return float(k * (k - 1) / 2 * np.exp(-exponent))
