"""Cross-entropy where every rank has the logits of some words only   (Shoeybi et al. 2019).

The loss of a row needs three sums over the vocabulary: of e^(x - top), of the target's logit, and,
with label smoothing, of all logits. Each rank has its part of them, so three numbers a row are
exchanged, not V. Read next: draws.py.
"""

import numpy as np

from tinylm.autograd import Tensor
from tinylm.autograd.engine.operation import fused
from tinylm.autograd.kernels import composed
from tinylm.autograd.kernels.rows import as_rows, check_ids
from tinylm.parallel.collectives import joined
from tinylm.parallel.communicate.communicator import Communicator
from tinylm.parallel.data_parallel import share_rows


def _by_whole_rows(
    logits, *, targets, comm, total, ignore_index, label_smoothing, z_loss, reduction
):
    """The plain twin: the logits of all ranks put together."""
    whole = joined(logits, comm=comm, axis=-1, total=total)
    return composed.cross_entropy(
        whole,
        targets,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        z_loss=z_loss,
        reduction=reduction,
    )


def split_cross_entropy(
    logits: Tensor,
    targets: np.ndarray,
    comm: Communicator,
    total: int,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """cross_entropy() of logits that are cut along the vocabulary.

    logits   (.., own), this rank's share of the V = `total` words
    targets  (..) integers in [0, V), the same on every rank
    comm     Communicator of the ranks that share the vocabulary
    others   as in cross_entropy
    returns  the same Tensor on every rank: () or, for "none", (..)

    Plain twin: the logits put together. Check: tinylm gradcheck split_cross_entropy
    """
    return _split_cross_entropy(
        logits,
        targets=targets,
        comm=comm,
        total=total,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        z_loss=z_loss,
        reduction=reduction,
    )


@fused(_by_whole_rows, name="split_cross_entropy")
def _split_cross_entropy(
    logits, *, targets, comm, total, ignore_index, label_smoothing, z_loss, reduction, keep
):
    """See split_cross_entropy()."""
    # As in kernels/losses.py: loss = Z - q . x + z Z^2, with Z = log sum e^x and the target
    # distribution q = (1-e) onehot + e/V; sums over the vocabulary are over ranks too.
    start, stop = share_rows(total, comm.rank, comm.size)
    e = label_smoothing
    rows, ids = as_rows(logits), targets.reshape(-1)  # (n, own), (n,)
    counts = ids != ignore_index
    check_ids(np.where(counts, ids, 0), total, "split_cross_entropy")
    here = counts & (ids >= start) & (ids < stop)  # rows whose target is a word of this rank
    mine = np.where(here, ids - start, 0)
    at = np.arange(len(rows), like=ids)
    top = np.full_like(rows, -np.inf, shape=(len(rows),))  # of a rank without words
    if stop > start:
        top = np.max(rows, axis=-1)
    top = comm.all_reduce(top, "max")
    p = rows - top[:, None]
    sums = np.zeros_like(p, shape=(3, len(rows)))
    if stop > start:
        sums[0] = np.where(here, p[at, mine], 0)
        sums[1] = np.sum(p, axis=-1)
    np.exp(p, out=p)
    sums[2] = np.sum(p, axis=-1)
    fit, evenly, whole = comm.all_reduce(sums)
    log_total = np.log(whole)  # Z - top
    losses = log_total - (1 - e) * fit
    if e:
        losses -= e * evenly / total
    if z_loss:
        losses += z_loss * (log_total + top) ** 2
    losses = np.where(counts, losses, 0)
    n = np.maximum(np.sum(counts), 1).astype(losses.dtype)
    y = losses.reshape(targets.shape)
    if reduction != "none":
        y = np.sum(losses, keepdims=True).reshape(())
    if reduction == "mean":
        y = y / n

    def backward(g):
        w = g.reshape(-1)
        if reduction == "mean":
            w = w / n
        w = counts * w  # (n,)
        share = w
        if z_loss:
            share = w * (1 + 2 * z_loss * (log_total + top))
        d = p * (share / whole)[:, None]
        if stop > start:
            d[at, mine] -= (1 - e) * w * here
        if e:
            d -= (e / total * w)[:, None]
        return (np.where(counts[:, None], d, 0).reshape(logits.shape),)

    return y.astype(logits.dtype), backward
