"""Masks of attention: what may be one, and products in which a hidden value counts for nothing.

0 x inf is nan, so a weight of zero does not hide a value that is not finite: what a mask hides is
left out by `where`. That takes a few passes more, made only where something was not finite.
Read next: attention.py.
"""

import math

import numpy as np

from tinylm.autograd.engine.operation import primitive
from tinylm.autograd.engine.tensor import Tensor, wants_grad
from tinylm.autograd.primitives.elementwise import exp, where
from tinylm.autograd.primitives.products import matmul
from tinylm.autograd.primitives.reductions import logsumexp
from tinylm.autograd.primitives.shaping import swapaxes
from tinylm.errors import DtypeError, ShapeError


def bool_mask(mask, operation, name="mask", bias="bias=", shape=None):
    """The array of a mask: the one check that every way to attend makes of its masks.

    mask       bool array, Tensor or list, True = visible; or None
    operation  named in the error, with the argument's name
    bias       the argument that takes numbers to be added to scores; None if there is none
    shape      what the mask must broadcast to; None: not checked
    returns    bool array, or None for None
    raises     DtypeError for another dtype: 0 and -inf, say, would mean the opposite here;
               ShapeError if it does not fit
    """
    if mask is None:
        return None
    array = mask.data if isinstance(mask, Tensor) else mask
    if not hasattr(array, "dtype"):
        array = np.asarray(array)
    if array.dtype.kind == "b":
        if shape is not None and not _broadcasts(array.shape, shape):
            raise ShapeError(
                f"{operation}: {name} of shape {array.shape} does not broadcast to {shape}"
            )
        return array
    additive = f"{name} == 0" if bias is None else f"{name} == 0 (or {bias}{name})"
    raise DtypeError(
        f"{operation}: {name} must be bool, True = visible, not {array.dtype}: give {additive} for "
        f"one of 0 and -inf that is added to scores, {name} == 1 for one of 1 and 0 (1 = visible)"
    )


def _broadcasts(shape, to):
    pairs = zip(reversed(shape), reversed(to))
    return len(shape) <= len(to) and all(n in (1, m) for n, m in pairs)


def check_bias(bias, operation):
    """Raise DtypeError for a bool bias: it would add 1 where it is True, and hide nothing."""
    if bias is not None and bias.dtype.kind == "b":
        raise DtypeError(
            f"{operation}: bias is bool: what hides is given as mask=; a bias is added to scores"
        )


def own_mask(mask, operation, *operands, **naming):
    """bool_mask(), and a copy where backward reads it: the array may be filled anew before that."""
    mask = bool_mask(mask, operation, **naming)
    if mask is not None and wants_grad(operands):
        return mask.copy()
    return mask


def all_finite(*arrays):
    """Whether no array holds inf or nan."""
    return all(_all_finite(x) for x in arrays)


def _all_finite(x):
    # A sum of squares takes a fifth of the time, is finite only if all are, and rarely overflows.
    if type(x) is np.ndarray and x.flags.c_contiguous and x.itemsize > 2:
        flat = x.reshape(-1)
        with np.errstate(over="ignore", invalid="ignore"):
            if math.isfinite(np.dot(flat, flat)):
                return True
    return bool(np.isfinite(x).all())


def seen_matmul(a, b, seen):
    """a @ b, where row t of a takes nothing from the rows of b that it does not see.

    a        (..., T, S), exactly 0 where hidden;  b (..., S, J)
    seen     bool that broadcasts to (..., T, S)
    returns  (..., T, J): inf or nan that a row does see makes its sum inf or nan, as in any product
    """
    finite = np.isfinite(b)
    sums = a @ np.where(finite, b, 0)
    seen = np.broadcast_to(seen, (*seen.shape[:-2], *a.shape[-2:]))
    touched = seen.astype(a.dtype) @ (~finite).astype(a.dtype) > 0  # (..., T, J)
    return np.where(touched, a @ b, sums)


# The same of recorded operations. Each is the other's derivative, so every order leaves out what is
# hidden; the quick way, a plain product, is taken where everything is finite.


def _by_weights(g, y, weights, v, seen):
    return scores_of_seen(g, v, seen=seen)


def _by_values(g, y, weights, v, seen):
    return mix_of_seen(swapaxes(weights, -1, -2), g, seen=seen.swapaxes(-1, -2))


@primitive(_by_weights, _by_values, name="mix_of_seen", broadcasts=True)
def mix_of_seen(weights, v, seen):
    """weights (..., T, S) @ v (..., S, J), what is hidden left out; seen (..., T, S)."""
    return seen_matmul(np.where(seen, weights, 0), v, seen)


def _by_queries(g, y, q, k, seen):
    return mix_of_seen(g, k, seen=seen)


def _by_keys(g, y, q, k, seen):
    return mix_of_seen(swapaxes(g, -1, -2), q, seen=seen.swapaxes(-1, -2))


@primitive(_by_queries, _by_keys, name="scores_of_seen", broadcasts=True)
def scores_of_seen(q, k, seen):
    """q k^T, 0 at hidden pairs: (..., T, K), (..., S, K), seen (..., T, S) -> (..., T, S)."""
    return np.where(seen, q @ k.swapaxes(-1, -2), 0)


def seen_scores(q, k, seen=None):
    """q k^T of recorded operations; hidden pairs must still be masked.

    q (..., T, K), k (..., S, K) Tensors
    seen     bool that broadcasts to (..., T, S); None: everything
    returns  (..., T, S)
    """
    if seen is None or all_finite(q.data, k.data):
        return matmul(q, swapaxes(k, -1, -2))
    return scores_of_seen(q, k, seen=_spread(seen, q.shape[-2], k.shape[-2]))


def seen_mix(weights, v, seen=None):
    """weights @ v of recorded operations, hidden values left out.

    weights  (..., T, S), 0 where hidden;  v (..., S, J);  seen as in seen_scores()
    returns  (..., T, J)
    """
    if seen is None or all_finite(weights.data, v.data):
        return matmul(weights, v)
    return mix_of_seen(weights, v, seen=_spread(seen, *weights.shape[-2:]))


def _spread(seen, T, S):
    return np.broadcast_to(seen, (*seen.shape[:-2], T, S))


def grouped_mask(mask, shape, groups=None):
    """A mask in the shape of scores whose heads stand in groups that share keys.

    mask     bool that broadcasts to `shape`, (B, H, T, S); or None
    groups   G; None for heads that stand alone
    returns  (B|1, H|1, T, S), or (B|1, G|1, H/G|1, T, S); None for None
    """
    if mask is None:
        return None
    mask = mask[(None,) * (4 - mask.ndim)]
    mask = np.broadcast_to(mask, (*mask.shape[:2], *shape[2:]))
    if groups is None:
        return mask
    if mask.shape[1] == 1:
        return mask[:, :, None]
    return mask.reshape(mask.shape[0], groups, shape[1] // groups, *shape[2:])


def visible_softmax(scores, visible=None):
    """Softmax along the last axis over the visible entries; a row with none gets zeros.

    scores   Tensor (..., n);  visible bool that broadcasts to it, or None
    returns  weights (..., n), and the log of each row's sum of exponentials (..., 1), -inf for none
    """
    if scores.shape[-1] == 0:  # no key at all, and so no maximum
        return scores, Tensor(np.full_like(scores.data, -np.inf, shape=(*scores.shape[:-1], 1)))
    if visible is not None:
        scores = where(visible, scores, -np.inf)
    norm = logsumexp(scores, axis=-1, keepdims=True)
    return exp(scores - where(np.isfinite(norm.data), norm, 0.0)), norm
