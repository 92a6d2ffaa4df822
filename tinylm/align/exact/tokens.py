"""The values of states, actions and advantages of all prefixes   (book eqs. 4.15, 4.16, 4.27)

With the state s_t = (x, y_<t) and the action y_t, and the return from t on,

    G_t = sum_{k>=t} gamma^(k-t) r_k
    V(s_t) = E[G_t | y_<t],   Q(s_t, y_t) = E[G_t | y_<=t],   A = Q - V

Expectations over what follows a prefix are sums over the responses that begin with it. Arrays: in a
policy gradient these are constants. Read next: gradients.py.
"""

import numpy as np

from tinylm.autograd.engine.tensor import array_of


def returns_to_go(rewards: np.ndarray, gamma: float = 1.0) -> np.ndarray:
    """G_t = sum_{k>=t} gamma^(k-t) r_k: (..., n) -> (..., n)   (book eq. 4.26)"""
    rewards = np.asarray(rewards, np.float64)
    found = np.zeros_like(rewards)
    after = 0.0  # what comes after the last token
    for t in reversed(range(rewards.shape[-1])):
        after = rewards[..., t] + gamma * after
        found[..., t] = after
    return found


def values(
    logp: np.ndarray, responses: np.ndarray, rewards: np.ndarray, gamma: float = 1.0
) -> np.ndarray:
    """V(s_t) before each token of each response   (book eq. 4.15)

    logp       (..., K, n) log pi(y_t | x, y_<t) of all K responses
    responses  (K, n) ids
    rewards    (..., K, n), r_t of each response
    returns    (..., K, n) float64, the same for responses with the same y_<t
    """
    return _conditional(logp, responses, returns_to_go(rewards, gamma), known=0)


def action_values(
    logp: np.ndarray, responses: np.ndarray, rewards: np.ndarray, gamma: float = 1.0
) -> np.ndarray:
    """Q(s_t, y_t) of each token of each response; arguments as of values()   (book eq. 4.16)"""
    return _conditional(logp, responses, returns_to_go(rewards, gamma), known=1)


def advantages(
    logp: np.ndarray, responses: np.ndarray, rewards: np.ndarray, gamma: float = 1.0
) -> np.ndarray:
    """A(s_t, y_t) = Q - V, of mean 0 in every state; arguments as of values()   (book eq. 4.27)"""
    given = (logp, responses, rewards, gamma)
    return action_values(*given) - values(*given)


def _conditional(logp, responses, returns, known):
    """E[G_t | the first t + known tokens], at every t: (..., K, n)."""
    logp, returns = np.asarray(array_of(logp), np.float64), np.asarray(returns)
    found = np.zeros(np.broadcast_shapes(logp.shape, returns.shape))
    for t in range(responses.shape[1]):
        m = t + known
        alike = (responses[:, None, :m] == responses[:, :m]).all(axis=-1)  # (K, K): same prefix
        chance = np.exp(logp[..., m:].sum(axis=-1))  # (..., K), of what follows the prefix
        found[..., t] = (chance * returns[..., t]) @ alike  # alike is symmetric
    return found
