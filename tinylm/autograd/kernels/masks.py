"""Masks of attention: their checks, and products that leave out what a mask hides.

0 x inf is nan, so a weight of zero does not hide a value that is not finite: it must be left out by
`where`. That costs a few more passes over the arrays, made only where something is not finite.
Read next: attention.py.
"""

import math
from typing import Any

import numpy as np

from tinylm.autograd.engine.operation import primitive
from tinylm.autograd.engine.tensor import Array, Tensor, TensorLike, wants_grad
from tinylm.autograd.kernels.rows import transposed
from tinylm.autograd.primitives.elementwise import exp, where
from tinylm.autograd.primitives.products import matmul
from tinylm.autograd.primitives.reductions import logsumexp
from tinylm.autograd.primitives.shaping import swapaxes
from tinylm.errors import DtypeError, ShapeError


def bool_mask(
    mask: TensorLike | None,
    operation: str,
    name: str = "mask",
    bias: str | None = "bias=",
    shape: tuple[int, ...] | None = None,
) -> np.ndarray | None:
    """The array of a mask, checked. Every attention operation takes its masks through here.

    mask       bool array, Tensor or list, True = visible; or None
    operation  its name, for the error; `name` that of the argument
    bias       the argument that takes numbers to be added to scores; None if there is none
    shape      what the mask must broadcast to; None: not checked
    returns    bool array, or None for None
    raises     DtypeError for another dtype, since 0 and -inf would mean the opposite as bools;
               ShapeError if it does not fit
    """
    if mask is None:
        return None
    array: Any = mask
    if isinstance(mask, Tensor):
        array = mask.data
    if not hasattr(array, "dtype"):
        array = np.asarray(array)
    if array.dtype.kind != "b":
        additive = f"{name} == 0"
        if bias is not None:
            additive += f" (or {bias}{name})"
        raise DtypeError(
            f"{operation}: {name} must be bool, True = visible, not {array.dtype}: give {additive} "
            f"for one of 0 and -inf that is added to scores, {name} == 1 for one of 1 and 0 "
            "(1 = visible)"
        )
    if shape is not None and not _broadcasts(array.shape, shape):
        raise ShapeError(
            f"{operation}: {name} of shape {array.shape} does not broadcast to {shape}"
        )
    return array


def _broadcasts(shape, to):
    """True if an array of `shape` broadcasts to the shape `to`."""
    pairs = zip(reversed(shape), reversed(to))
    return len(shape) <= len(to) and all(n in (1, m) for n, m in pairs)


def check_bias(bias: Array | None, operation: str) -> None:
    """Raise DtypeError for a bool bias: it would add 1 where it is True, and hide nothing."""
    if bias is not None and bias.dtype.kind == "b":
        raise DtypeError(
            f"{operation}: bias is bool: pass a mask as mask=; a bias is added to scores"
        )


def own_mask(
    mask: np.ndarray | None, operation: str, *operands: Array | None, **naming: Any
) -> np.ndarray | None:
    """bool_mask(), copied if backward will read it: the caller may reuse the array before that."""
    mask = bool_mask(mask, operation, **naming)
    if mask is not None and wants_grad(operands):
        return mask.copy()
    return mask


def all_finite(*arrays: np.ndarray) -> bool:
    """True if no array holds inf or nan."""
    return all(_all_finite(x) for x in arrays)


def _all_finite(x):
    # The sum of squares is finite only if all values are, and takes half of the time or less. Where
    # it overflows though they are finite, the values themselves decide.
    if type(x) is np.ndarray and x.flags.c_contiguous and x.itemsize > 2:
        flat = x.reshape(-1)
        with np.errstate(over="ignore", invalid="ignore"):
            if math.isfinite(np.dot(flat, flat)):
                return True
    return bool(np.isfinite(x).all())


def seen_matmul(a: np.ndarray, b: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """a @ b, where row t of a takes nothing from the rows of b that it does not see.

    a        (..., T, S), exactly 0 where hidden;  b (..., S, J)
    seen     bool that broadcasts to (..., T, S)
    returns  (..., T, J): inf or nan that a row does see makes its sum inf or nan, as in any product
    """
    finite = np.isfinite(b)  # (..., S, J)
    sums = a @ np.where(finite, b, 0)  # right where a row sees only finite values
    # touched: row t sees at least one entry of column j that is not finite
    seen = np.broadcast_to(seen, (*seen.shape[:-2], *a.shape[-2:]))
    touched = seen.astype(a.dtype) @ (~finite).astype(a.dtype) > 0  # (..., T, J)
    return np.where(touched, a @ b, sums)


# The same as primitives. The two are each other's derivatives, so derivatives of every order leave
# out what is hidden:  Y = W V:  dW = G V^T, dV = W^T G;   S = Q K^T:  dQ = G K, dK = G^T Q.


def _by_weights(g, y, weights, v, seen):
    return scores_of_seen(g, v, seen=seen)


def _by_values(g, y, weights, v, seen):
    return mix_of_seen(swapaxes(weights, -1, -2), g, seen=transposed(seen))


@primitive(_by_weights, _by_values, name="mix_of_seen", broadcasts=True)
def mix_of_seen(weights: np.ndarray, v: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """weights (..., T, S) @ v (..., S, J), what is hidden left out; seen bool (..., T, S).

    Check: tinylm gradcheck mix_of_seen
    """
    return seen_matmul(np.where(seen, weights, 0), v, seen)


def _by_queries(g, y, q, k, seen):
    return mix_of_seen(g, k, seen=seen)


def _by_keys(g, y, q, k, seen):
    return mix_of_seen(swapaxes(g, -1, -2), q, seen=transposed(seen))


@primitive(_by_queries, _by_keys, name="scores_of_seen", broadcasts=True)
def scores_of_seen(q: np.ndarray, k: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """q k^T, 0 at hidden pairs: (..., T, K), (..., S, K), seen (..., T, S) -> (..., T, S).

    Check: tinylm gradcheck scores_of_seen
    """
    return np.where(seen, q @ transposed(k), 0)


def seen_scores(q: Tensor, k: Tensor, seen: np.ndarray | None = None) -> Tensor:
    """q k^T of Tensors, by a plain product if all is finite. Hidden pairs must still be masked.

    q        (..., T, K);  k (..., S, K)
    seen     bool that broadcasts to (..., T, S); None: everything
    returns  (..., T, S)
    """
    if seen is None or all_finite(q.data, k.data):
        return matmul(q, swapaxes(k, -1, -2))
    return scores_of_seen(q, k, seen=_spread(seen, q.shape[-2], k.shape[-2]))


def seen_mix(weights: Tensor, v: Tensor, seen: np.ndarray | None = None) -> Tensor:
    """weights @ v of Tensors, hidden values left out; by a plain product if all is finite.

    weights  (..., T, S), 0 where hidden;  v (..., S, J);  seen as in seen_scores()
    returns  (..., T, J)
    """
    if seen is None or all_finite(weights.data, v.data):
        return matmul(weights, v)
    return mix_of_seen(weights, v, seen=_spread(seen, *weights.shape[-2:]))


def _spread(seen, T, S):
    return np.broadcast_to(seen, (*seen.shape[:-2], T, S))


def grouped_mask(
    mask: np.ndarray | None, shape: tuple[int, ...], groups: int | None = None
) -> np.ndarray | None:
    """A mask in the shape of scores whose heads are split into groups that share keys.

    mask     bool that broadcasts to `shape`, (B, H, T, S); or None
    groups   G; None for heads that are not grouped
    returns  (B|1, H|1, T, S), or (B|1, G|1, H/G|1, T, S); None for None
    """
    if mask is None:
        return None
    mask = mask[(None,) * (4 - mask.ndim)]  # (..., T, S) -> (B|1, H|1, T|1, S|1)
    mask = np.broadcast_to(mask, (*mask.shape[:2], *shape[2:]))
    if groups is None:
        return mask
    if mask.shape[1] == 1:
        return mask[:, :, None]
    return mask.reshape(mask.shape[0], groups, shape[1] // groups, *shape[2:])


def visible_softmax(scores: Tensor, visible: np.ndarray | None = None) -> tuple[Tensor, Tensor]:
    """Softmax along the last axis over the visible entries; a row with none gets zeros.

    scores   Tensor (..., n);  visible bool that broadcasts to it, or None
    returns  weights (..., n), and the log of each row's sum of exponentials (..., 1), -inf for none
    """
    if scores.shape[-1] == 0:  # no key at all, and so no maximum
        shape = (*scores.shape[:-1], 1)
        return scores, Tensor(np.full_like(scores.data, -np.inf, shape=shape))
    if visible is not None:
        scores = where(visible, scores, -np.inf)
    norm = logsumexp(scores, axis=-1, keepdims=True)  # (..., 1)
    # exp(s - norm) = exp(s) / sum exp(s); in a row with no entry, exp(-inf - 0) = 0
    return exp(scores - where(np.isfinite(norm.data), norm, 0.0)), norm


def visible_keys(
    q: np.ndarray, k: np.ndarray, mask: np.ndarray | None, causal: bool
) -> np.ndarray | None:
    """What each query may see: bool, broadcasts to (B, G, R, T, S); None: everything."""
    T, S = q.shape[-2], k.shape[-2]
    visible = None
    if causal and T > 1:  # a single query is the last, and sees everything
        # Key s is visible to query t if s <= t + S - T: the last query sees the last key.
        queries = np.arange(T, like=q)
        keys = np.arange(S, like=q)
        visible = keys[None, :] <= queries[:, None] + (S - T)  # (T, S)
    if mask is not None:
        mask = mask[(None,) * (4 - mask.ndim)]  # (..., T|1, S|1) -> (B|1, H|1, T|1, S|1)
        if mask.shape[1] > 1:
            mask = mask.reshape(len(mask), *q.shape[1:3], *mask.shape[2:])  # (B|1, G, R, T|1, S|1)
        else:
            mask = mask[:, :, None]  # (B|1, 1, 1, T|1, S|1)
        visible = mask if visible is None else visible & mask
    return visible
