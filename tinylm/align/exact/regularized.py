"""Reward with a penalty on leaving the reference, and the policy that is best at it.

    J(pi) = E_{y~pi}[r(x, y)] - beta KL(pi || pi_ref)          (book eq. 4.73, as a gain)
    Z(x)  = sum_y pi_ref(y|x) exp(r(x, y) / beta)                (4.75)
    pi*   = pi_ref(y|x) exp(r(x, y) / beta) / Z(x)               (4.76, 4.79)
    J(pi) = beta log Z(x) - beta KL(pi || pi*)                   (4.77, 4.78)

so J is highest at pi*, for any reward. For beta -> 0 pi* is the best response alone, for beta ->
infinity it is pi_ref. What PPO, RLOO and DPO converge to is compared with pi*. (Rafailov et al.
2023; Korbak et al. 2022.) The reward that a policy is optimal for is in
preference/dpo.py. Read next: tokens.py.
"""

import numpy as np

from tinylm.align.exact.expectations import expectation, kl, of_arrays_too
from tinylm.autograd import Array, Tensor, add, logsumexp, mul, sub
from tinylm.autograd.engine.tensor import as_tensor
from tinylm.errors import ConfigError


@of_arrays_too
def log_partition(logref: np.ndarray, reward: np.ndarray, beta: float) -> Tensor:
    """log Z(x) = log sum_y pi_ref(y|x) exp(r(x, y) / beta)   (book eq. 4.75)

    logref   (..., K) log pi_ref;  reward broadcasts to it;  beta > 0
    returns  (...)
    """
    return logsumexp(_tilted(logref, reward, beta), axis=-1)


@of_arrays_too
def optimal_policy(logref: np.ndarray, reward: np.ndarray, beta: float) -> Tensor:
    """log pi*, the policy of highest objective: (..., K)   (book eqs. 4.76, 4.79)"""
    tilted = _tilted(logref, reward, beta)
    return sub(tilted, logsumexp(tilted, axis=-1, keepdims=True))


@of_arrays_too
def objective(logp: Array, logref: np.ndarray, reward: np.ndarray, beta: float) -> Tensor:
    """J(pi) = E_pi[r] - beta KL(pi || pi_ref), to be maximized   (book eq. 4.73)

    logp, logref  (..., K);  reward broadcasts to them;  beta >= 0
    returns       (...)
    """
    return sub(expectation(as_tensor(logp), reward), mul(beta, kl(as_tensor(logp), logref)))


def _tilted(logref, reward, beta):
    """log pi_ref + r / beta: the logarithm of pi* before it is normalized."""
    if not beta > 0:
        raise ConfigError(
            f"beta is {beta}: the optimal policy needs a penalty above 0; without one it is the "
            "response of highest reward"
        )
    return add(logref, mul(1 / beta, reward))
