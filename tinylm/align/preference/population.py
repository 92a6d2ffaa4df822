"""A preference loss on a whole population: every pair of responses, weighted by its probability.

Where responses can be listed, the loss that a data set estimates is a finite sum   (eq. 4.82):

    L(pi) = mean over x of  sum over pairs {a, b} of  w(a, b) [P(a > b) l(a, b) + P(b > a) l(b, a)]

With Bradley-Terry probabilities of a reward, DPO's L is smallest at pi* = ref exp(r / beta) / Z,
the optimum of RLHF: the equivalence on which the method stands   (Rafailov et al. 2023, section 4;
book eqs. 4.79 to 4.82). Pairs of weight 0 are never seen: where they leave the responses in groups
that no pair connects, the groups' shares are not determined.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinylm.align.preference.dpo import dpo
from tinylm.autograd.engine.tensor import Tensor, array_of
from tinylm.errors import ShapeError


def bradley_terry(reward: np.ndarray) -> np.ndarray:
    """P(a > b | x) of all ordered pairs: rewards (X, K) -> (X, K, K)."""
    difference = reward[..., :, None] - reward[..., None, :]
    return np.exp(-np.logaddexp(0, -difference))  # sigmoid, without overflow


def own_weights(logp: Tensor) -> np.ndarray:
    """How often a policy samples each pair, the product of two probabilities: (X, K, K) array.

    The weights of online learning. They are constants: the policy is not differentiated as the
    source of its data.
    """
    p = np.exp(array_of(logp))
    return p[:, :, None] * p[:, None, :]


def population_loss(
    logp: Tensor,
    logref: np.ndarray,
    preference: np.ndarray,
    loss: Callable = dpo,
    weights: np.ndarray | None = None,
    **options: Any,
) -> Tensor:
    """The expectation of a loss of pairs over all pairs of different responses: Tensor ().

    logp        (X, K) Tensor, log-probabilities of the K responses to each of X prompts
    logref      (X, K) array, under the reference
    preference  (X, K, K), P(a > b | x), of bradley_terry or with noise
    loss        (chosen, rejected, ref_chosen, ref_rejected, **options) -> (n,) Tensor
    weights     (K, K) or (X, K, K), how often a pair is shown; every pair equally unless given.
                They are divided by their sum for each prompt; a response never meets itself
    raises      ShapeError if the shapes do not fit
    """
    logref, preference = array_of(logref), np.asarray(preference)
    X, K = logp.shape
    if logref.shape != (X, K) or preference.shape != (X, K, K):
        raise ShapeError(
            f"population_loss: log-probabilities {logp.shape}, reference {logref.shape} and "
            f"preferences {preference.shape}; they are (X, K), (X, K), (X, K, K)"
        )
    if weights is None:
        weights = np.ones((K, K))
    weights = np.broadcast_to(weights, (X, K, K)) * (1 - np.eye(K))
    weights = weights / weights.sum(axis=(1, 2), keepdims=True)
    # All ordered pairs of all prompts with some weight, in one row.
    x, a, b = np.nonzero(weights * preference)
    losses = loss(logp[x, a], logp[x, b], logref[x, a], logref[x, b], **options)
    # {a, b} stands in `weights` twice, once in each order: P(a > b) + P(b > a) = 1 halves it.
    return 2 * ((weights * preference)[x, a, b] * losses).sum() / X
