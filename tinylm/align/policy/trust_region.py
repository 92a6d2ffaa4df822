"""TRPO: the step that gains most within a bounded divergence   (book 4.3.3; Schulman et al. 2015)

    maximize g . x   subject to   x . F x / 2 <= delta,     F = E[ s s^T ],  s = d log pi / dtheta

F is the Fisher matrix: KL(pi_old || pi_new) = x . F x / 2 up to third order. The solution is
x = sqrt(2 delta / g . F^-1 g) F^-1 g: along the natural gradient, as far as delta allows. A line
search then holds the true divergence to delta and refuses a step that gains nothing. For policies
that are listed F is a matrix that is solved directly; large models multiply by it instead. Read
next: groups.py.
"""

import numpy as np

from tinylm.align.exact.expectations import expectation, kl
from tinylm.align.exact.policies import TablePolicy
from tinylm.align.policy.baselines import score_functions
from tinylm.errors import ConfigError


def fisher(scores: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """F = sum_y pi(y) s(y) s(y)^T: scores (K, P), chance (K,) -> (P, P)."""
    return scores.T @ (chance[:, None] * scores)


def natural_gradient(scores: np.ndarray, chance: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    """F^-1 g, g = sum_y pi(y) R(y) s(y) the policy gradient: (P,).

    It is the least-squares fit of the rewards by the scores, sum_y pi (R - s . x)^2, since the
    normal equations of that are F x = g. Of all solutions the shortest: directions that do not
    change the policy, as when all logits of a table grow by one number, are left alone.
    """
    root = np.sqrt(chance)
    return np.linalg.lstsq(root[:, None] * scores, root * rewards, rcond=1e-10)[0]


def trpo_step(
    policy: TablePolicy,
    rewards: np.ndarray,
    delta: float = 0.01,
    shrink: float = 0.5,
    tries: int = 20,
) -> dict[str, float]:
    """Move a policy of one prompt by a step of TRPO, in place.

    policy   listed (align/exact), one prompt;  rewards (K,);  delta > 0, the most divergence
    shrink   factor of the line search;  tries steps of it before the policy is left as it was
    returns  {"kl": KL(old || new), "gain": rise of the expected reward}; both 0 without a step
    """
    if not delta > 0:
        raise ConfigError(f"trpo_step: delta is {delta}, it must be above 0")
    logp = policy.logprobs().data[0]  # (K,)
    chance, scores = np.exp(logp), score_functions(policy)
    direction = natural_gradient(scores, chance, rewards)
    slope = direction @ (scores.T @ (chance * rewards))  # g . F^-1 g
    if not slope > 0:
        return {"kl": 0.0, "gain": 0.0}  # no direction gains anything
    start = [p.data.copy() for p in policy.parameters()]
    size = np.sqrt(2 * delta / slope)
    for _ in range(tries):
        _move(policy, start, size * direction)
        new = policy.logprobs().data[0]
        found = {"kl": float(kl(logp, new))}
        found["gain"] = float(expectation(new, rewards) - expectation(logp, rewards))
        if found["kl"] <= delta and found["gain"] > 0:
            return found
        size *= shrink
    _move(policy, start, np.zeros_like(direction))
    return {"kl": 0.0, "gain": 0.0}


def _move(policy, start, step):
    """Parameters = start + step, the step in one vector."""
    at = 0
    for parameter, before in zip(policy.parameters(), start):
        n = before.size
        parameter.data[...] = before + step[at : at + n].reshape(before.shape)
        at += n
