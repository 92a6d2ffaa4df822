"""Fused softmax, log-softmax and cross-entropy: the output layer of every language model.

Read next: attention.py, where softmax meets two matrix products.
"""

import functools

import numpy as np

from tinylm.autograd.engine.operation import fused
from tinylm.autograd.kernels import composed
from tinylm.autograd.kernels.rows import as_rows, check_ids
from tinylm.autograd.primitives.elementwise import weigh
from tinylm.autograd.primitives.reductions import accurate_sum, largest, mean, sum
from tinylm.errors import ConfigError, ShapeError


def _total(x, axis):
    """Sum along an axis, kept. Along rows NumPy adds pairwise; across them accurate_sum() keeps the
    digits.
    """
    if x.flags.c_contiguous and axis in (-1, x.ndim - 1):
        return np.sum(x, axis=axis, keepdims=True)
    return accurate_sum(x, axis, keepdims=True)


def _single_numbers_too(kernel):
    """Lets a kernel along an axis take 0-d arrays: the softmax of one number is 1, along axis 0 or
    -1.
    """

    @functools.wraps(kernel)
    def on_array(x, *, axis=-1, keep):
        if x.ndim:
            return kernel(x, axis=axis, keep=keep)
        y, backward = kernel(x.reshape(1), axis=axis, keep=keep)
        return y.reshape(()), lambda g: (backward(g.reshape(1))[0].reshape(()),)

    return on_array


@fused(composed.softmax, reads="both")
@_single_numbers_too
def softmax(x, *, axis=-1, keep):
    """exp(x) / sum(exp(x)) along an axis   (book eq. 2.12)

    x        any shape; returns the same shape, entries that sum to 1. An entry of -inf gets 0.
    """
    # dL/dx = y (g - sum(g y)): the second term is what keeps the sum at 1
    y = x - largest(x, axis)
    np.exp(y, out=y)
    y /= _total(y, axis)
    return y, lambda g: (y * (g - _total(g * y, axis)),)


@fused(composed.log_softmax, reads="both")
@_single_numbers_too
def log_softmax(x, *, axis=-1, keep):
    """x - log(sum(exp(x))) along an axis: log-probabilities without underflow. Returns x's shape."""
    # dL/dx = g - softmax(x) sum(g)
    y = x - largest(x, axis)
    y -= np.log(_total(np.exp(y), axis))
    return y, lambda g: (g - np.exp(y) * _total(g, axis),)


def cross_entropy(
    logits, targets, ignore_index=-100, label_smoothing=0.0, z_loss=0.0, reduction="mean"
):
    """Negative log-probability of the targets, in nats   (book eqs. 1.5 and 2.13)

    logits           (..., V)  unnormalized log-probabilities
    targets          (...)     integers in [0, V), or ignore_index where there is nothing to predict
    label_smoothing  share e of the target probability spread evenly over V   (Szegedy et al. 2016)
    z_loss           weight of log(sum exp logits)**2, which keeps logits from drifting   (Chowdhery et al. 2022)
    reduction        "mean" over the targets that count (0 if there are none), "sum", or "none":
                     (...)
    raises           ShapeError if the shapes do not match, DataError naming a target outside the
                     vocabulary
    """
    if not isinstance(targets, np.ndarray):
        targets = getattr(targets, "data", targets)
    if isinstance(targets, (list, int, memoryview)):
        targets = np.asarray(targets)
    if logits.shape[:-1] != targets.shape:
        raise ShapeError(
            f"cross_entropy: logits {logits.shape} need targets {logits.shape[:-1]}, not {targets.shape}"
        )
    if reduction not in ("mean", "sum", "none"):
        raise ConfigError(
            f"cross_entropy: reduction {reduction!r} is not one of 'mean', 'sum', 'none'"
        )
    return _cross_entropy(
        logits,
        targets,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        z_loss=z_loss,
        reduction=reduction,
    )


@fused(composed.cross_entropy, name="cross_entropy")
def _cross_entropy(logits, targets, *, ignore_index, label_smoothing, z_loss, reduction, keep):
    # With p = softmax(logits), Z = logsumexp(logits), q = (1-e) onehot + e/V and w_i the weight of
    # row i:
    #   L = sum_i w_i (Z_i - q_i . logits_i + z Z_i^2)   =>   dL/dlogits_i = w_i ((1 + 2 z Z_i) p_i - q_i)
    # One (n, V) array is made: exp(logits - max), which backward turns into the gradient.
    V, e = logits.shape[-1], label_smoothing
    rows, ids = as_rows(logits), targets.reshape(-1)  # (n, V), (n,)
    counts = ids != ignore_index
    ids = np.where(counts, ids, 0)
    check_ids(ids, V, "cross_entropy")
    at = np.arange(len(rows), like=ids)
    top = largest(rows, -1)[:, 0]
    p = rows - top[:, None]
    fit = (1 - e) * p[at, ids]  # q . (logits - top)
    if e:
        fit += e * np.mean(p, axis=-1)
    np.exp(p, out=p)
    total = p @ np.ones_like(p, shape=(V,))  # (n,)
    log_total = np.log(total)
    losses = log_total - fit
    if z_loss:
        losses += z_loss * (log_total + top) ** 2
    losses = np.where(counts, losses, 0)  # chosen, not multiplied: inf * 0 is nan
    wide = np.result_type(
        losses.dtype, np.float32
    )  # float16 could neither count nor add up this many
    n = np.maximum(np.sum(counts), 1).astype(wide)
    y = losses.reshape(targets.shape)
    if reduction != "none":
        y = (np.sum(losses, dtype=wide) / (n if reduction == "mean" else 1)).astype(logits.dtype)

    def backward(g):
        weight = counts * (g.reshape(-1) / n if reduction == "mean" else g.reshape(-1))
        share = weight * (1 + 2 * z_loss * (log_total + top)) if z_loss else weight
        d = p * (share / total)[:, None]
        d[at, ids] -= (1 - e) * weight
        if e:
            d -= (e / V * weight)[:, None]
        if not np.all(counts):
            d = np.where(counts[:, None], d, 0)  # a row that does not count may hold inf or nan
        return d.reshape(logits.shape), None

    return y if hasattr(y, "dtype") and hasattr(y, "ndim") and not isinstance(
        y, np.generic
    ) else np.asarray(y), backward


def soft_cross_entropy(logits, targets, reduction="mean"):
    """Cross-entropy against a whole distribution: -sum over v of targets[v] log softmax(logits)[v]
    (book eq. 1.5)

    logits     (..., V)  unnormalized log-probabilities; -inf where the target is 0 costs nothing
    targets    (..., V)  the gold distribution; one-hot rows give cross_entropy. Tensor or array, differentiated too
    reduction  "mean" over the rows, "sum", or "none": (...)
    raises     ShapeError if the shapes differ
    """
    if logits.shape != targets.shape:
        raise ShapeError(
            f"soft_cross_entropy: logits {logits.shape} need a distribution of the same shape, "
            f"not {targets.shape}"
        )
    if reduction not in ("mean", "sum", "none"):
        raise ConfigError(
            f"soft_cross_entropy: reduction {reduction!r} is not one of 'mean', 'sum', 'none'"
        )
    losses = -sum(weigh(targets, log_softmax(logits)), axis=-1)  # (..., V) -> (...)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return sum(losses)
    return mean(losses)
