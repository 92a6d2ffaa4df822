"""Attention whose keys and values are shared among ranks: two sums over ranks   (book section
2.3.1, eqs. 2.40-2.44; Li et al. 2023).

    alpha_ij = exp(beta_ij) / (sum over the keys of rank 1 + .. + sum over the keys of rank n)
    Att_i    = sum over the values of rank 1 of alpha_ij v_j + .. + the same of rank n

The numerator is a rank's own, the denominator a sum over all, and the result another one. Taken
literally exp(beta) overflows for scores above 88 in float32; `shifted` first takes the largest
score of each query over all ranks, which changes nothing else. Both sums are linear in what a rank
has, so one all-reduce of J + 1 numbers a query replaces two, of 1 and of J. Read next: ring.py.
"""

import numpy as np

from tinylm.autograd import Tensor, concatenate, exp, matmul, swapaxes, where
from tinylm.autograd.kernels.heads import score_scale
from tinylm.backend import to_device
from tinylm.parallel.collectives import enter, leave
from tinylm.parallel.communicate.communicator import Communicator


def shared_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    comm: Communicator,
    mask: np.ndarray | None = None,
    scale: float | None = None,
    shifted: bool = True,
    fused: bool = True,
) -> Tensor:
    """softmax(q k^T scale) v, of keys and values that the ranks have shares of.

    q        (.., T, K) Tensor, the same on every rank
    k, v     (.., own, K) and (.., own, J), this rank's share; it may be empty
    comm     Communicator
    mask     bool, broadcasts to (.., T, own), True = visible: the columns of this rank's keys
    shifted  subtract the largest score of each query, a third collective; False: the book's
             procedure to the letter
    fused    one all-reduce for both sums; False: the denominator first, as the book has it
    returns  (.., T, J), the same on every rank; zeros for a query that sees no key
    """
    scores = matmul(enter(q, comm=comm), swapaxes(k, -1, -2)) * score_scale(q.shape[-1], scale)
    if mask is not None:
        mask = to_device(mask, scores.device)
        scores = where(np.broadcast_to(mask, scores.shape), scores, -np.inf)
    if shifted:
        top = np.full_like(scores.data, -np.inf, shape=(*scores.shape[:-1], 1))  # (.., T, 1)
        if scores.shape[-1]:
            top = np.max(scores.data, axis=-1, keepdims=True)
        top = comm.all_reduce(top, "max")
        scores = scores - Tensor(np.where(np.isfinite(top), top, 0))
    weights = exp(scores)  # the numerators
    below = weights.sum(axis=-1, keepdims=True)  # (.., T, 1), over this rank's keys
    if fused:
        both = leave(concatenate([matmul(weights, v), below], axis=-1), comm=comm)
        above, below = both[..., :-1], both[..., -1:]
        return above / _not_0(below)
    below = leave(below, comm=comm)
    # alpha of the own keys, which every rank divides by the same sum.
    alpha = weights / enter(_not_0(below), comm=comm)
    return leave(matmul(alpha, v), comm=comm)


def _not_0(x):
    """A query that sees nothing has a denominator of 0, and numerators too."""
    return where(x.data == 0, 1.0, x)
