"""Advantages from rewards and values: from the reward to go to GAE   (book eqs. 4.26-4.31)

    delta_t = r_t + gamma V(s_{t+1}) - V(s_t)                     error of one step, eq. 4.31
    A_t     = sum_{k>=t} (gamma lambda)^(k-t) delta_k             GAE (Schulman et al. 2016)

With lambda = 0 this is delta_t: little variance, and the bias of V. With lambda = 1 it telescopes
to G_t - V(s_t): no bias, and the variance of the return. The state after the end has value 0. Where
an episode goes on and only its first tokens are at hand, it is the value of the state reached
(`bootstrap`). A response that was cut at the most tokens does not go on: it is scored as it stands,
and its score is the last reward there is, so PPO and A2C bootstrap nothing. Row b of `values` has
at t the value of the state *before* token t: what a value model (rewards/reward_model.py) gives for
the inputs of a batch whose targets are the tokens. All are arrays: nothing is differentiated. Read
next: critic.py.
"""

import numpy as np

from tinylm.autograd.engine.tensor import array_of
from tinylm.errors import DataError, ShapeError


def td_errors(
    rewards: np.ndarray,
    values: np.ndarray,
    counted: np.ndarray,
    gamma: float = 1.0,
    bootstrap: np.ndarray | None = None,
) -> np.ndarray:
    """delta_t = r_t + gamma V(s_{t+1}) - V(s_t)   (book eqs. 4.30, 4.31)

    rewards, values  (B, T), read where counted
    counted          (B, T) bool, the tokens of a row's one response stand together
    bootstrap        (B,) value of the state after the last token, for episodes that go on; None: 0,
                     for responses that are scored as they stand, with an end mark or without
    returns          (B, T) array, 0 where nothing counts
    raises           ShapeError for other shapes, DataError if a row's tokens do not stand together
    """
    rewards, values = (np.asarray(array_of(a), np.float64) for a in (rewards, values))
    if not rewards.shape == values.shape == counted.shape or counted.ndim != 2:
        raise ShapeError(
            f"td_errors: rewards {rewards.shape}, values {values.shape}, counted {counted.shape}: "
            "need (B, T) three times"
        )
    first = counted & ~_before(counted)
    if (first.sum(axis=1) > 1).any():
        row = int((first.sum(axis=1) > 1).argmax())
        raise DataError(f"td_errors: row {row} has several responses: give each a row, unpacked()")
    values = np.where(counted, values, 0.0)
    after = np.zeros_like(values)
    after[:, :-1] = values[:, 1:]  # V(s_{t+1}), 0 after the last token
    if bootstrap is not None:
        last = counted & ~_after(counted)
        after = np.where(last, np.asarray(bootstrap, np.float64)[:, None], after)
    return np.where(counted, rewards + gamma * after - values, 0.0)


def gae(
    rewards: np.ndarray,
    values: np.ndarray,
    counted: np.ndarray,
    gamma: float = 1.0,
    lam: float = 0.95,
    bootstrap: np.ndarray | None = None,
) -> np.ndarray:
    """Generalized advantage estimates   (Schulman et al. 2016, eq. 16)

    lam      1: return less value; 0: td_errors()
    returns  (B, T) array, 0 where nothing counts. Added to the values: targets of the critic

    Other arguments as of td_errors(). The book gives neither gamma nor lambda; 1 and .95 are those
    of Ziegler et al. 2019.
    """
    delta = td_errors(rewards, values, counted, gamma, bootstrap)
    found = np.zeros_like(delta)
    later = 0.0
    for t in reversed(range(delta.shape[1])):
        later = delta[:, t] + gamma * lam * later
        found[:, t] = later = np.where(counted[:, t], later, 0.0)
    return found


def whitened(
    values: np.ndarray, counted: np.ndarray, shift: bool = True, eps: float = 1e-8
) -> np.ndarray:
    """Values less their mean, divided by their standard deviation, over all that count.

    The variance divides by N; that of TRL, verl and torchtune by N - 1, so that theirs are smaller
    by sqrt((N - 1) / N).

    values   (B, T) array;  shift False: the mean is put back, as for rewards
    returns  (B, T) array, 0 where nothing counts
    raises   DataError for fewer than two values
    """
    values = np.asarray(array_of(values), np.float64)
    chosen = values[counted]
    if len(chosen) < 2:
        raise DataError(
            f"whitened: {len(chosen)} values have no deviation; at least two are needed"
        )
    mean = chosen.mean()
    scaled = (values - mean) / np.sqrt(chosen.var() + eps)
    if not shift:
        scaled = scaled + mean
    return np.where(counted, scaled, 0.0)


def _before(counted):
    """Whether the token before counts."""
    found = np.zeros_like(counted)
    found[:, 1:] = counted[:, :-1]
    return found


def _after(counted):
    """Whether the token after counts."""
    found = np.zeros_like(counted)
    found[:, :-1] = counted[:, 1:]
    return found
