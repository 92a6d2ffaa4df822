"""What an algorithm converges to, with every expectation a sum   (book eq. 4.79)

PPO, A2C and RLOO with the penalty in the reward converge to pi* = pi_ref exp(r / beta) / Z. Others
have fixed points of their own:

    mean of the group with itself, k2:   pi* of the reward (G-1)/G r
    GRPO (std, k3), a large group:       where pi (A - E A) = beta (pi - pi_ref), A = (r - J) / std

In both k2 and k3 stand in the loss, where the factor (G-1)/G does not reach them. `descend` follows
the expected gradient of a loss on a table of logits, `expected_advantages` is what a response's
advantage is worth on average over the groups it may stand in.
"""

from collections import deque

import numpy as np

from tinylm.align.exact.gradients import gradient_of, groups
from tinylm.align.exact.policies import TablePolicy
from tinylm.errors import ConfigError


def expected_advantages(chance, rewards, size, advantages):
    """E[A_i | y_i = y] over groups of `size` independent draws: (K,).

    chance      (K,) probabilities;  rewards (K,)
    advantages  function (M, G) -> (M, G), of groups.py
    """
    drawn = groups(len(chance), size)  # (M, G)
    own = advantages(np.asarray(rewards)[drawn])[:, 0]  # of the first; the others are alike
    others = chance[drawn[:, 1:]].prod(axis=1)  # (M,)
    return np.bincount(drawn[:, 0], weights=others * own, minlength=len(chance))


def population_advantages(chance, rewards, scale=True):
    """(r - J) / std under the policy: what GRPO's advantage becomes in a large group, (K,)."""
    centered = rewards - chance @ rewards
    if not scale:
        return centered
    return centered / np.sqrt(chance @ centered**2)


def sampled_loss(logp, weights, penalty=None):
    """E_{y~pi}[- w(y) log pi(y) + penalty(y)] with probabilities and weights as constants.

    logp     (K,) Tensor;  weights (K,);  penalty (K,) Tensor or None, such as beta k3
    returns  Tensor (), whose gradient is the expected gradient of samples
    """
    terms = -(logp * weights)
    if penalty is not None:
        terms = terms + penalty
    return (terms * np.exp(logp.data)).sum()


def descend(loss, logits, rate=1.0, steps=20_000, tolerance=1e-10, window=1):
    """Follow the expected gradient of a loss on a table until it vanishes.

    loss     function of log-probabilities (K,) Tensor -> Tensor (), anew at each step
    logits   (K,) where to begin
    window   steps in a row without a gradient; a loss that takes n steps on the responses of one
             policy needs n, for a clipped loss has no gradient where every ratio is clipped
    returns  probabilities (K,) at the fixed point
    raises   ConfigError if it is not reached in `steps`
    """
    policy, recent = TablePolicy(np.asarray(logits)[None]), deque(maxlen=window)
    for _ in range(steps):
        logp = policy.logprobs()[0]
        (gradient,) = gradient_of(loss(logp), policy)
        recent.append(np.abs(gradient).max())
        if len(recent) == window and max(recent) < tolerance:
            return np.exp(logp.data)
        policy.logits.data[...] -= rate * gradient
    raise ConfigError(
        f"descend: after {steps} steps the gradient is still {max(recent):.1e}: "
        "another rate, or more steps"
    )
