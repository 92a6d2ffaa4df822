"""Expectations under a policy that is listed: sums over its last axis.

    E_{y ~ pi}[f] = sum_y pi(y) f(y),   KL(p || q) = sum_y p(y) (log p(y) - log q(y))

The functions take arrays or Tensors, and return an array unless an argument is a Tensor. A response
of probability 0 adds 0, whatever its value. Read next: regularized.py.
"""

import functools
from collections.abc import Callable

import numpy as np

from tinylm.autograd import Array, Tensor, exp, mul, sub, weigh, where
from tinylm.autograd import sum as sum_
from tinylm.autograd.engine.tensor import array_of


def of_arrays_too(function: Callable) -> Callable:
    """Decorator: a function of Tensors returns an array where no argument is a Tensor."""

    @functools.wraps(function)
    def either(*args, **options):
        found = function(*args, **options)
        if any(isinstance(given, Tensor) for given in (*args, *options.values())):
            return found
        return found.data

    return either


@of_arrays_too
def expectation(logp: Array, values: np.ndarray) -> Tensor:
    """E_{y ~ p}[f(y)]

    logp     (..., K) log-probabilities, differentiated if a Tensor
    values   f, broadcasts to (..., K)
    returns  (...)
    """
    return sum_(weigh(exp(logp), values), axis=-1)


@of_arrays_too
def kl(logp: Array, logq: Array) -> Tensor:
    """KL(p || q) in nats: 0 only where p = q, infinite where q excludes what p does not.

    logp, logq  (..., K) log-probabilities, both differentiated
    returns     (...)
    """
    possible = array_of(logp) > -np.inf  # others add 0, whatever q is
    ratio = sub(where(possible, logp, 0.0), where(possible, logq, 0.0))
    return sum_(mul(exp(logp), ratio), axis=-1)


@of_arrays_too
def entropy(logp: Tensor) -> Tensor:
    """-E_p[log p] in nats: 0 for one certain response, log K for K equal ones."""
    return -sum_(weigh(exp(logp), logp), axis=-1)
