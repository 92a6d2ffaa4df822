"""Exact policy gradients, and the exact expectation of a loss of sampled responses.

    J(theta) = E_{y~pi}[R(y)]                                      (book eq. 4.18)
    dJ/dtheta = sum_y pi(y) R(y) d log pi(y) / dtheta              (4.20)

An estimator that draws responses and computes a loss has an expected gradient: the sum, over all
that could be drawn, of its probability times the gradient of its loss. Probabilities are constants
in it, as they are when one draws. Compared with dJ/dtheta this is the bias, without drawing
anything.
"""

import itertools
from collections.abc import Callable

import numpy as np

from tinylm.align.exact.expectations import expectation
from tinylm.autograd import Tensor, grad
from tinylm.autograd.engine.tensor import array_of
from tinylm.nn.module import Module


def performance(policy: Module, rewards: np.ndarray) -> Tensor:
    """J: the mean over prompts of E_{y~pi}[R(x, y)], differentiable, () Tensor   (book eq. 4.18)

    policy   with logprobs() (X, K);  rewards broadcasts to (X, K)
    """
    return expectation(policy.logprobs(), rewards).mean()


def policy_gradient(policy: Module, rewards: np.ndarray) -> list[np.ndarray]:
    """dJ/dtheta by the log-derivative: the mean over prompts of sum_y pi R dlog pi  (book eq. 4.20)

    The rewards are numbers: nothing is differentiated through them.

    returns  list of arrays, one for each parameter
    """
    logp = policy.logprobs()  # (X, K)
    weights = np.exp(logp.data) * array_of(rewards)
    return gradient_of((logp * weights).sum() / len(logp), policy)


def gradient_of(loss: Tensor, policy: Module) -> list[np.ndarray]:
    """The gradient of a loss with respect to each parameter: list of arrays."""
    return [g.data for g in grad(loss, policy.parameters())]


def groups(count: int, size: int) -> np.ndarray:
    """All groups of `size` draws from `count` responses, in order: (count^size, size) indices."""
    return np.array(list(itertools.product(range(count), repeat=size)), np.int64)


def expected_loss(logp: Tensor, size: int, loss: Callable) -> Tensor | float:
    """E[loss] over groups of independent draws; its gradient is the expected gradient.

    logp     (K,) log-probabilities of the policy that draws: constants here
    size     G, responses of a group
    loss     function of (G,) indices of responses -> Tensor ()
    returns  Tensor (): sum over groups of Pr(group) loss(group)
    """
    logp = array_of(logp)
    total = 0.0
    for group in groups(len(logp), size):
        chance = float(np.exp(logp[group].sum()))
        if chance > 0:
            total = total + loss(group) * chance
    return total
