"""REINFORCE, A2C, and the importance ratio   (book eqs. 4.21-4.31, 4.39-4.48)

    dJ/dtheta = E_{y~pi}[ sum_t A_t d log pi(y_t | x, y_<t) / dtheta ]

A_t is the return of the whole response (REINFORCE; Williams 1992), the reward to go, either less a
baseline, or what an actor-critic estimates (A2C; Mnih et al. 2016): always a constant. The loss
whose gradient this is, is no measure of progress: only its gradient has a meaning, and only where
the responses were drawn from pi. Responses of another policy are weighed by the importance ratio.
Read next: baselines.py.
"""

import numpy as np

from tinylm.align.aggregation import aggregate
from tinylm.align.constant import constant
from tinylm.align.exact.expectations import entropy
from tinylm.autograd import Array, Tensor, exp, log_softmax
from tinylm.autograd.engine.tensor import array_of
from tinylm.backend import ArrayLike, to_cpu
from tinylm.errors import DataError, ShapeError


def policy_gradient_loss(
    logp: Tensor,
    advantages: np.ndarray,
    counted: np.ndarray,
    how: str = "token",
    total: int | None = None,
) -> Tensor:
    """- mean of A_t log pi(y_t | x, y_<t)   (book eqs. 4.28, 4.40, 4.44)

    logp        (B, T) Tensor;  counted (B, T) bool
    advantages  (B, T), or (B,) for one number for all tokens of a response: a constant
    how, total  what it is a mean of: see aggregate(). The book's mean over responses of sums over
                tokens is how="fixed", total=B
    returns     Tensor ()

    Check: tinylm gradcheck align.policy_gradient_loss
    """
    return -aggregate(logp * per_token(advantages, logp), counted, how, total)


def ratio(logp: Tensor, old: Array) -> Tensor:
    """rho_t = pi(y_t | ..) / pi_old(y_t | ..), (B, T) Tensor   (book eq. 4.45)

    old      (B, T) log-probabilities under the policy that drew the responses: a constant

    The book calls it a ratio of log-probabilities; it is one of probabilities.
    """
    return exp(logp - constant(old, logp))


def importance_loss(
    logp: Tensor,
    old: np.ndarray,
    advantages: np.ndarray,
    counted: np.ndarray,
    how: str = "token",
    total: int | None = None,
) -> Tensor:
    """- mean of rho_t A_t, for responses of the policy `old`   (book eq. 4.45)

    At pi = old its gradient is that of policy_gradient_loss()   (book eqs. 4.46-4.48). Arguments
    and result as there. Check: tinylm gradcheck align.importance_loss
    """
    return -aggregate(ratio(logp, old) * per_token(advantages, logp), counted, how, total)


def entropy_loss(logits: Tensor, total: int | None = None) -> Tensor:
    """- mean entropy of the distributions that tokens were drawn from, to be added with a weight.

    A policy that is certain does not try anything else any more   (Williams and Peng 1991).

    logits   (n, V) Tensor of the n tokens that count, response_logits()
    total    tokens of the whole batch; None: n
    returns  Tensor ()

    Check: tinylm gradcheck align.entropy_loss
    """
    each = entropy(log_softmax(logits))  # (n, V) -> (n,)
    return -each.sum() / float(total or len(each))


def check_first_ratio(
    logp: Array, old: np.ndarray, counted: np.ndarray, tolerance: float = 1e-4
) -> float:
    """The largest |log ratio|, which must be 0 before the first update on new responses.

    It is not if responses were drawn with another temperature or with top-k, with dropout on, from
    other weights, or if their log-probabilities were taken at other positions.

    tolerance  for rounding: two ways through a model in float32 differ by about 1e-5
    returns    float
    raises     DataError if it is larger
    """
    logp, old, counted = (to_cpu(array_of(a)) for a in (logp, old, counted))
    difference = np.abs(logp - old)[counted]
    largest = float(difference.max(initial=0.0))
    if not largest <= tolerance:
        raise DataError(
            f"the policy and the one that drew the responses differ by {largest:.3g} in a "
            "log-probability before the first update: temperature, truncation, dropout, weights "
            "and masks must be those of sampling"
        )
    return largest


def effective_sample_size(logp: ArrayLike, old: ArrayLike) -> float:
    """(sum w)^2 / sum w^2 of weights w = pi(y) / pi_old(y): how many draws of pi these are worth.

    logp, old  (N,) log-probabilities of whole responses
    returns    float from 1 to N, N where the policies agree
    """
    weights = np.asarray(logp, np.float64) - np.asarray(old, np.float64)
    weights = np.exp(weights - weights.max())  # a common factor cancels
    return float(weights.sum() ** 2 / (weights**2).sum())


def per_token(advantages: Array, logp: Tensor) -> np.ndarray:
    """Advantages (B, T) or (B,) as a constant array that broadcasts to logp (B, T)."""
    advantages = constant(advantages, logp)
    if advantages.shape == logp.shape[:1]:
        advantages = advantages[:, None]  # (B,) -> (B, 1): one for all tokens of a response
    elif advantages.shape != logp.shape:
        raise ShapeError(
            f"advantages {advantages.shape} for log-probabilities {logp.shape}: need (B, T), or "
            "(B,) for one of each response"
        )
    return advantages
