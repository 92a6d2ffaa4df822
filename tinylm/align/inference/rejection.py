"""Statistical rejection sampling: samples of the optimal policy, without training it   (book
section 4.2.3; Liu et al. 2024, RSO).

pi*(y|x) = ref(y|x) exp(r / beta) / Z is proportional to the reference times a weight, so a sample
of the reference that is kept with probability

    a(y) = exp((r(x, y) - r_max) / beta)      r_max: the greatest reward of any response

is a sample of pi*. beta -> 0 keeps the best only, as best-of-n does; a large beta keeps all. DPO
needs pairs of samples of the optimal policy, and RSO draws them so. Read next: tuning.py.
"""

import numpy as np

from tinylm.errors import ConfigError, DataError


def acceptance(rewards, beta, maximum=None):
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


def statistical_rejection_sample(rewards, beta, rng, maximum=None):
    """Which of the samples of a reference are kept as samples of the optimal policy: (n,) bool.

    rewards  (n,) of independent samples of the reference;  rng  numpy Generator
    """
    return rng.uniform(size=len(rewards)) < acceptance(rewards, beta, maximum)


def rejection_law(p, rewards, beta, maximum=None):
    """The law of a sample that is kept, and the share that is: ((K,) float64, float).

    p        (K,) probabilities of all responses under the reference
    returns  pi* and Z exp(-r_max / beta), whatever the maximum
    """
    kept = np.asarray(p, float) * acceptance(rewards, beta, maximum)
    return kept / kept.sum(), float(kept.sum())
