"""Fused softmax, log-softmax and cross-entropy: the output layer of every language model.

Read next: attention.py, where softmax meets two matrix products.
"""

import functools
from collections.abc import Callable

import numpy as np

from tinylm.autograd.device import losses as raw
from tinylm.autograd.engine.operation import fused
from tinylm.autograd.engine.tensor import Array, Tensor
from tinylm.autograd.kernels import composed
from tinylm.autograd.kernels.rows import RUN, as_rows, check_ids, row_dots
from tinylm.autograd.primitives.elementwise import weigh
from tinylm.autograd.primitives.reductions import accurate_sum, largest, mean, sum
from tinylm.backend import ArrayLike
from tinylm.errors import ConfigError, ShapeError


def _total(x, axis):
    """Sum along an axis, which stays with length one."""
    if not (x.flags.c_contiguous and axis in (-1, x.ndim - 1)):
        return accurate_sum(x, axis, keepdims=True)
    n = x.shape[-1]
    if 0 < n <= 8 * RUN:  # BLAS is 9 times as fast for rows of 64; seven digits up to here
        return (x.reshape(-1, n) @ np.ones_like(x, shape=(n,))).reshape(*x.shape[:-1], 1)
    return np.sum(x, axis=axis, keepdims=True)  # pairwise


def _dots(x, y, axis):
    """Sum of x * y along an axis, which stays with length one."""
    if axis in (-1, x.ndim - 1):
        return row_dots(x, y)[..., None]
    return _total(x * y, axis)


KEPT = 1 << 18  # numbers, 1 MiB of float32, that log_softmax keeps for backward
SAFE = 60.0  # exp(-60) to exp(60) are normal numbers in float32, and so are sums of many


def _exponentials(x, axis):
    """exp(x - m), a new array, for an m that is the same along `axis`: 0 if all is within +-SAFE.

    The maximum of a short row takes longer than its exponentials; that of everything takes little.
    """
    if type(x) is np.ndarray and x.size and x.max() <= SAFE and x.min() >= -SAFE:  # not so for nan
        return np.exp(x)
    y = x - largest(x, axis)
    return np.exp(y, out=y)


def _single_numbers_too(kernel):
    """Decorator: a kernel along an axis takes 0-d arrays too; the softmax of one number is 1."""

    @functools.wraps(kernel)
    def on_array(x, *, axis=-1, keep):
        if x.ndim:
            return kernel(x, axis=axis, keep=keep)
        y, backward = kernel(x.reshape(1), axis=axis, keep=keep)
        return y.reshape(()), lambda g: (backward(g.reshape(1))[0].reshape(()),)

    return on_array


@fused(composed.softmax, reads="both", raw=raw.softmax)
@_single_numbers_too
def softmax(x: np.ndarray, *, axis: int = -1, keep: bool) -> tuple[np.ndarray, Callable]:
    """exp(x) / sum(exp(x)) along an axis   (book eq. 2.12)

    x        any shape; returns the same shape, entries that sum to 1. An entry of -inf gets 0.

    Plain twin: composed.softmax. Check: tinylm gradcheck softmax
    """
    # y_i = e^{x_i} / sum_k e^{x_k}   =>   dy_i/dx_j = y_i (1[i=j] - y_j)
    # dL/dx_j = sum_i g_i dy_i/dx_j = y_j (g_j - sum_i g_i y_i)
    y = _exponentials(x, axis)
    y /= _total(y, axis)

    def backward(g):
        d = g - _dots(g, y, axis)
        d *= y
        return (d,)

    return y, backward


@fused(composed.log_softmax, reads="both", raw=raw.log_softmax)
@_single_numbers_too
def log_softmax(x: np.ndarray, *, axis: int = -1, keep: bool) -> tuple[np.ndarray, Callable]:
    """x - log(sum(exp(x))) along an axis: log-probabilities without underflow. Returns x's shape.

    Plain twin: composed.log_softmax. Check: tinylm gradcheck log_softmax
    """
    # y_i = x_i - log sum_k e^{x_k}   =>   dy_i/dx_j = 1[i=j] - softmax(x)_j
    # dL/dx = g - softmax(x) sum(g),   softmax(x) = e^y = e^{x - max x} / total
    y = x - largest(x, axis)
    exponentials = np.exp(y)
    total = _total(exponentials, axis)
    y -= np.log(total)
    if not keep or y.size > KEPT:
        exponentials = None  # its memory is worth more than the time to compute it again

    def backward(g):
        if exponentials is None:
            d = np.exp(y)
            d *= _total(g, axis)
        else:
            d = exponentials * (_total(g, axis) / total)
        return (np.subtract(g, d, out=d),)

    return y, backward


def _check_reduction(operation, reduction):
    if reduction not in ("mean", "sum", "none"):
        raise ConfigError(
            f"{operation}: reduction {reduction!r} is not one of 'mean', 'sum', 'none'"
        )


def cross_entropy(
    logits: Tensor,
    targets: ArrayLike,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-probability of the targets, in nats   (book eqs. 1.5 and 2.13)

    logits           (..., V)  unnormalized log-probabilities
    targets          (...)     integers in [0, V), or ignore_index where there is nothing to predict
    label_smoothing  share e of the target probability spread evenly over V   (Szegedy et al. 2016)
    z_loss           weight of log(sum exp logits)**2, which keeps logits from drifting
                     (Chowdhery et al. 2022)
    reduction        "mean" over the targets that count (0 if there are none), "sum", or "none":
                     (...)
    raises           ShapeError if the shapes do not match, DataError naming a target outside the
                     vocabulary

    Plain twin: composed.cross_entropy. Check: tinylm gradcheck cross_entropy
    """
    if isinstance(targets, (list, int)):
        targets = np.asarray(targets)
    if logits.shape[:-1] != targets.shape:
        message = (
            f"cross_entropy: logits {logits.shape} need targets {logits.shape[:-1]}, "
            f"not {targets.shape}"
        )
        if logits.shape[:1] + logits.shape[2:] == targets.shape:  # torch's (B, V, T)
            message += ": the classes are the last axis, logits.swapaxes(1, -1)"
        raise ShapeError(message)
    _check_reduction("cross_entropy", reduction)
    return _cross_entropy(
        logits,
        targets,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        z_loss=z_loss,
        reduction=reduction,
    )


@fused(composed.cross_entropy, name="cross_entropy", raw=raw.cross_entropy)
def _cross_entropy(logits, targets, *, ignore_index, label_smoothing, z_loss, reduction, keep):
    # For a row of logits x, let Z = log sum_v e^{x_v} and p = softmax(x) = e^{x - Z}. The target
    # distribution is q = (1-e) onehot(target) + e/V, and sum q = 1:
    #   -sum_v q_v log p_v = -sum_v q_v (x_v - Z) = Z - q . x
    #   loss = Z - q . x + z Z^2
    # One (n, V) array is made, exp(x - max x), which backward turns into the gradient.
    V, e = logits.shape[-1], label_smoothing
    rows, ids = as_rows(logits), targets.reshape(-1)  # (..., V) -> (n, V), (...) -> (n,)
    counts = ids != ignore_index
    ids = np.where(counts, ids, 0)  # any valid id: these losses are discarded below
    check_ids(ids, V, "cross_entropy")
    at = np.arange(len(rows), like=ids)
    top = largest(rows, -1)[:, 0]  # (n,)
    p = rows - top[:, None]  # log of p up to a constant of the row
    fit = (1 - e) * p[at, ids]  # q . (x - top), (n,)
    if e:
        fit += e * np.mean(p, axis=-1)
    np.exp(p, out=p)
    total = p @ np.ones_like(p, shape=(V,))  # (n, V) -> (n,): sum_v e^{x_v - top}
    log_total = np.log(total)  # Z - top
    losses = log_total - fit  # the top cancels: Z - q . x
    if z_loss:
        losses += z_loss * (log_total + top) ** 2
    losses = np.where(counts, losses, 0)  # chosen, not multiplied: inf * 0 is nan
    # float16 can neither count nor add up many rows
    wide = np.result_type(losses.dtype, np.float32)
    n = np.maximum(np.sum(counts), 1).astype(wide)
    if reduction == "none":
        y = losses.reshape(targets.shape)
    else:
        y = np.sum(losses, dtype=wide)
        if reduction == "mean":
            y = y / n
        y = y.astype(logits.dtype)
    if isinstance(y, np.generic) or not hasattr(y, "ndim"):  # NumPy's full sums are scalars
        y = np.asarray(y)

    # dZ/dx = p and d(q . x)/dx = q, so with w the cotangent of the row's loss:
    #   dL/dx = w ((1 + 2 z Z) p - q)
    def backward(g):
        w = g.reshape(-1)  # (n,), or (1,) of a reduced loss
        if reduction == "mean":
            w = w / n
        w = counts * w  # (n,)
        share = w
        if z_loss:
            share = w * (1 + 2 * z_loss * (log_total + top))
        d = p * (share / total)[:, None]  # p holds e^{x - top}: divided by the total, softmax(x)
        d[at, ids] -= (1 - e) * w
        if e:
            d -= (e / V * w)[:, None]
        if not np.all(counts):
            d = np.where(counts[:, None], d, 0)  # a row that does not count may hold inf or nan
        return d.reshape(logits.shape), None

    return y, backward


def soft_cross_entropy(logits: Tensor, targets: Array, reduction: str = "mean") -> Tensor:
    """Cross-entropy against a distribution: -sum_v targets_v log softmax(logits)_v  (book eq. 1.5)

    logits     (..., V)  unnormalized log-probabilities; -inf where the target is 0 costs nothing
    targets    (..., V)  the gold distribution, Tensor or array, differentiated too; one-hot rows
               give cross_entropy
    reduction  "mean" over the rows, "sum", or "none": (...)
    raises     ShapeError if the shapes differ

    Composed of primitives. Check: tinylm gradcheck soft_cross_entropy
    """
    if logits.shape != targets.shape:
        raise ShapeError(
            f"soft_cross_entropy: logits {logits.shape} need a distribution of the same shape, "
            f"not {targets.shape}"
        )
    _check_reduction("soft_cross_entropy", reduction)
    losses = -sum(weigh(targets, log_softmax(logits)), axis=-1)  # (..., V) -> (...)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return sum(losses)
    return mean(losses)
