"""Clipped surrogates: a policy gains nothing by moving further in one batch   (book eq. 4.49, 4.50)

    PPO           min(rho A, clip(rho, 1-e, 1+e) A)          (Schulman et al. 2017, eq. 7)
    as printed    min(rho, clip(rho, 1-e, 1+e)) A = min(rho, 1+e) A

For A >= 0 they agree. For A < 0 the printed form has no bound at 1-e: a bad action is made ever
less likely, and one above 1+e, which should be corrected, has no gradient. PPO's form is a
lower bound of rho A, so that it never hides a loss. For A < 0 and a very large rho it has no bound
either: dual clipping gives it one, c A (Ye et al. 2020). Read next: kl.py.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinylm.align.aggregation import aggregate
from tinylm.align.policy.surrogates import per_token, ratio
from tinylm.autograd import Tensor, clip, maximum, minimum, mul, where
from tinylm.autograd.engine.tensor import array_of
from tinylm.backend import to_cpu
from tinylm.errors import ConfigError


def clipped_surrogate(
    rho: Tensor, advantages: np.ndarray, low: float = 0.2, high: float | None = None
) -> Tensor:
    """min(rho A, clip(rho, 1-low, 1+high) A), to be maximized   (Schulman et al. 2017, eq. 7)

    rho         Tensor, importance ratios;  advantages broadcasts to it, a constant
    low, high   the ratio is bounded to [1-low, 1+high]; high None: as low. DAPO's clip-higher has
                .2 and .28
    returns     like rho. Its gradient is 0 if A > 0 and rho > 1+high, or A < 0 and rho < 1-low

    TRL: max(-A rho, -A clamp(rho)). Check: tinylm gradcheck align.clipped_surrogate
    """
    low, high = _bounds(low, high)
    return minimum(mul(rho, advantages), mul(clip(rho, 1 - low, 1 + high), advantages))


def book_clipped_surrogate(
    rho: Tensor, advantages: np.ndarray, low: float = 0.2, high: float | None = None
) -> Tensor:
    """min(rho, clip(rho, 1-low, 1+high)) A, as it is printed   (book eqs. 4.49, 4.50)

    The same as clipped_surrogate() for A >= 0, and wrong for A < 0: kept to show the difference.
    Its lower bound does nothing, as the minimum of rho and a larger number is rho.
    """
    low, high = _bounds(low, high)
    return mul(minimum(rho, clip(rho, 1 - low, 1 + high)), advantages)


def dual_clipped_surrogate(
    rho: Tensor,
    advantages: np.ndarray,
    low: float = 0.2,
    high: float | None = None,
    bound: float = 3.0,
) -> Tensor:
    """max(clipped surrogate, c A) where A < 0, a bound on what it costs  (Ye et al. 2020)

    bound    c > 1 + high;  other arguments as of clipped_surrogate()
    """
    _, above = _bounds(low, high)
    if not bound > 1 + above:
        raise ConfigError(f"dual_clipped_surrogate: bound {bound} must be above 1 + high")
    found = clipped_surrogate(rho, advantages, low, high)
    return where(array_of(advantages) < 0, maximum(found, mul(bound, advantages)), found)


def clipped_loss(
    logp: Tensor,
    old: np.ndarray,
    advantages: np.ndarray,
    counted: np.ndarray,
    surrogate: Callable = clipped_surrogate,
    how: str = "token",
    total: int | None = None,
    **bounds: Any,
) -> Tensor:
    """PPO's loss of the policy: - mean of the surrogate of each token   (book eqs. 4.53-4.55)

    logp        (B, T) Tensor;  old (B, T) log-probabilities when the responses were drawn
    advantages  (B, T) or (B,);  counted (B, T) bool
    surrogate   of this file, with low=, high=, bound= as `bounds`
    how, total  see aggregate();  returns Tensor ()

    While logp = old, its gradient is that of policy_gradient_loss().
    Check: tinylm gradcheck align.clipped_loss
    """
    gain = surrogate(ratio(logp, old), per_token(advantages, logp), **bounds)
    return -aggregate(gain, counted, how, total)


def clip_fraction(
    logp: Tensor,
    old: np.ndarray,
    advantages: np.ndarray,
    counted: np.ndarray,
    low: float = 0.2,
    high: float | None = None,
) -> float:
    """The share of tokens that have no gradient in clipped_loss(): float, to be watched."""
    low, high = _bounds(low, high)
    given = (logp, old, advantages, counted)
    logp, old, advantages, counted = (to_cpu(array_of(a)) for a in given)
    rho = np.exp(logp - old)
    if advantages.ndim == 1:
        advantages = advantages[:, None]
    still = (advantages > 0) & (rho > 1 + high) | (advantages < 0) & (rho < 1 - low)
    return float(still[counted].mean())


def _bounds(low, high):
    if high is None:
        high = low
    if not (0 < low and 0 < high):
        raise ConfigError(f"clipping: bounds {low} and {high} must be above 0")
    return low, high
