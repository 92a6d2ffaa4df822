"""Local SGD: workers descend on their own, and average their parameters now and then   (Stich 2018,
"Local SGD Converges Fast and Communicates Little"; McMahan et al. 2017).

    theta_k <- theta_k - lr g_k(theta_k)        on every worker k, H times
    theta_k <- (theta_1 + .. + theta_n) / n     by one all-reduce

With H = 1 that is data parallelism with the plain mean of gradients, as averaging is linear. With
H > 1 a step sends an H-th of the bytes, and workers drift toward the optimum of their own rows in
between. Where these differ, descent ends off the common optimum: for f_k(x) = c_k (x - b_k)^2 / 2
at

    sum_k w_k b_k / sum_k w_k,   w_k = 1 - (1 - lr c_k)^H

which is the optimum, with w_k = c_k, for H = 1 or a small rate, and for many steps the mean of the
b_k. Read first: ../data_parallel.py. Read next: ../asynchronous.py, which does not wait at all.
"""

from collections.abc import Callable

import numpy as np

from tinylm.errors import ConfigError
from tinylm.parallel.communicate.communicator import Communicator


def local_descent(
    comm: Communicator, gradient: Callable, theta: np.ndarray, rate: float, steps: int, period: int
) -> np.ndarray:
    """Gradient descent whose workers average their parameters every `period` steps.

    comm      Communicator of the workers
    gradient  function of (parameters (n,), step) -> (n,), of this worker's rows
    theta     (n,), the same on all workers; changed in place
    steps     of each worker; after the last one parameters are averaged too
    period    H
    returns   theta, the same bits on every worker
    raises    ConfigError for a period below 1
    """
    if period < 1:
        raise ConfigError(f"local_descent: a period of {period} steps, must be 1 or more")
    for step in range(steps):
        theta -= rate * np.asarray(gradient(theta, step))
        if (step + 1) % period == 0 or step + 1 == steps:
            average(comm, theta)
    return theta


def average(comm: Communicator, theta: np.ndarray) -> np.ndarray:
    """theta := the mean over workers, in place; (n,), or FlatParameters.data."""
    comm.all_reduce(theta)
    theta /= comm.size
    return theta


def fixed_point(curvatures: np.ndarray, optima: np.ndarray, rate: float, period: int) -> float:
    """Where local descent on f_k(x) = c_k (x - b_k)^2 / 2 ends: sum w_k b_k / sum w_k."""
    weights = 1 - (1 - rate * np.asarray(curvatures, np.float64)) ** period
    return float(np.sum(weights * optima) / np.sum(weights))
