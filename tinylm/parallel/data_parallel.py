"""Data parallelism: workers differentiate parts of the batch, and add their gradients (eq. 2.33).

Book section 2.2.3, eq. (2.33): with the mini-batch D split into parts D^1 .. D^N and L the *sum* of
the losses,

    dL(D)/dtheta = dL(D^1)/dtheta + .. + dL(D^N)/dtheta,

because the derivative of a sum is the sum of the derivatives. A trainer minimizes the *mean* over
tokens. With n_k tokens that count in D^k, n = n_1 + .. + n_N, and the worker's own mean
M_k = L(D^k) / n_k:

    M = L(D) / n = sum_k L(D^k) / n = sum_k (n_k / n) M_k,      so      dM = sum_k (n_k / n) dM_k.

The plain average, with weights 1/N, is right only if all n_k are equal; padding, masks and a batch
that N does not divide make them unequal. An all_reduce is reduce_scatter_ followed by all_gather_;
a trainer that updates only its slice of the parameters between the two does the optimizer's work
once, not N times. Read next: communicate/communicator.py.
"""

import numpy as np

from tinylm.parallel.communicate.communicator import Communicator


def share_rows(total: int, rank: int, size: int) -> tuple[int, int]:
    """(first, stop) of the rows of worker `rank`, of `total` in shares as equal as can be."""
    return rank * total // size, (rank + 1) * total // size


def token_weight(comm: Communicator, tokens: int) -> float:
    """n_k / n, the factor on this worker's mean loss (or its gradient) before the sum over workers.

    tokens   n_k, how many tokens count in this worker's rows; may be 0
    returns  float; the weights of all workers sum to 1 (all are 0 if no token counts anywhere)
    """
    total = comm.all_reduce(np.array(tokens, np.float64))
    return tokens / max(float(total), 1.0)


def average_gradients(comm: Communicator, flat_grad: np.ndarray, tokens: int) -> np.ndarray:
    """dM = sum_k (n_k / n) dM_k, in place: the gradient of the mean over the batch (eq. 2.33).

    flat_grad  (n,) gradient of this worker's mean loss
    tokens     how many tokens count in this worker's rows
    returns    flat_grad, the same bits on every worker
    """
    weight = flat_grad.dtype.type(token_weight(comm, tokens))  # a scalar of the gradient's dtype
    np.multiply(flat_grad, weight, out=flat_grad)
    return comm.all_reduce(flat_grad)
