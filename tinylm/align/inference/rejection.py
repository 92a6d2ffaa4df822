"""Statistical rejection sampling: samples of the optimal policy, without training it   (book
section 4.2.3; Liu et al. 2024, RSO).

pi*(y|x) = ref(y|x) exp(r / beta) / Z is proportional to the reference times a weight, so a sample
of the reference that is kept with probability

    a(y) = exp((r(x, y) - r_max) / beta)      r_max: the greatest reward of any response

is a sample of pi*. beta -> 0 keeps the best only, as best-of-n does; a large beta keeps all. DPO
needs pairs of samples of the optimal policy, and RSO draws them so (preference/rso.py). Read next:
tuning.py.
"""

import numpy as np

from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError, DataError


def acceptance(rewards: ArrayLike, beta: float, maximum: float | None = None) -> np.ndarray:
    """The probability with which each sample is kept: (n,) -> (n,) float64.

    maximum  r_max, the greatest reward there is; of these samples unless given, which is exact only
             if one of them has it
    raises   ConfigError if a reward is above the maximum, or for a beta that is not above 0;
             DataError for a reward that is nan
    """
    rewards = np.asarray(rewards, float)
    if not beta > 0:
        raise ConfigError(f"acceptance: beta {beta} must be above 0; for the best alone: best_of_n")
    if np.isnan(rewards).any():
        wrong = int(np.isnan(rewards).argmax())
        raise DataError(f"acceptance: the reward of sample {wrong} is nan")
    if maximum is None:
        maximum = rewards.max()
    if (rewards > maximum).any():
        raise ConfigError(f"acceptance: a reward is {rewards.max()}, above the maximum {maximum}")
    return np.exp((rewards - maximum) / beta)


def statistical_rejection_sample(
    rewards: ArrayLike, beta: float, rng: np.random.Generator, maximum: float | None = None
) -> np.ndarray:
    """Which of the samples of a reference are kept as samples of the optimal policy: (n,) bool.

    rewards  (n,) of independent samples of the reference;  rng  numpy Generator
    """
    return rng.uniform(size=len(rewards)) < acceptance(rewards, beta, maximum)


def accepted_candidates(
    rewards: ArrayLike, beta: float, count: int, rng: np.random.Generator
) -> np.ndarray:
    """`count` of the samples of a reference, nearly samples of the optimal policy   (Liu et al.
    2024, algorithm 1)

    r_max is not known, so the greatest reward of the candidates stands for it, and passes over
    those that are left are made until there are enough. With many candidates for each that is kept
    the first pass has enough, and the best of them is hardly below r_max: then the law is pi*.

    rewards  (n,) of independent samples of the reference;  rng  numpy Generator
    returns  (count,) indices, in the order in which they were kept; none twice, and none whose
             reward is minus infinity
    raises   ConfigError if there are fewer than `count` candidates; DataError for a reward that is
             nan or plus infinity
    """
    rewards = np.asarray(rewards, float)
    if not (rewards < np.inf).all():  # nan is not, either
        wrong = int((~(rewards < np.inf)).argmax())
        raise DataError(f"accepted_candidates: the reward of sample {wrong} is {rewards[wrong]}")
    kept, left = [], np.flatnonzero(rewards > -np.inf)
    if not 0 <= count <= len(left):
        raise ConfigError(
            f"accepted_candidates: {count} of {len(left)} candidates are to be kept: draw more"
        )
    while len(kept) < count:  # each pass keeps the best that is left, at least
        accepted = statistical_rejection_sample(rewards[left], beta, rng)
        kept += left[accepted].tolist()
        left = left[~accepted]
    return np.array(kept[:count], np.int64)


def rejection_law(
    p: np.ndarray, rewards: np.ndarray, beta: float, maximum: float | None = None
) -> tuple[np.ndarray, float]:
    """The law of a sample that is kept, and the share that is: ((K,) float64, float).

    p        (K,) probabilities of all responses under the reference
    returns  pi* and Z exp(-r_max / beta), whatever the maximum
    """
    kept = np.asarray(p, float) * acceptance(rewards, beta, maximum)
    return kept / kept.sum(), float(kept.sum())
