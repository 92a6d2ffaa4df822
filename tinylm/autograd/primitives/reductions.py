"""Primitives that reduce or accumulate along axes: None for all, an int, or a tuple, as in NumPy.

A sum spreads its cotangent evenly, a maximum sends it to where the maximum is, a logsumexp spreads
it by the softmax. Read next: statistics.py.
"""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinylm.autograd.device import rows as raw
from tinylm.autograd.engine.arguments import check_keepdims
from tinylm.autograd.engine.operation import composite, primitive
from tinylm.autograd.engine.tensor import Array, Tensor, TensorLike, array_of, as_tensor
from tinylm.autograd.primitives.elementwise import exp, where
from tinylm.autograd.primitives.running import running_sums
from tinylm.autograd.primitives.shaping import (
    along,
    broadcast_to,
    concatenate,
    reshape,
    transpose,
)
from tinylm.backend import ArrayLike
from tinylm.errors import ShapeError


def _axes(axis, ndim):
    """The axes as a tuple of ints from 0 to ndim - 1."""
    if axis is None:
        return tuple(range(ndim))
    if ndim == 0 and axis in (0, -1):  # NumPy takes these for a single number
        return ()
    return normalize_axis_tuple(axis, ndim)


def _kept_shape(shape, axis):
    """`shape` with the reduced axes of length one."""
    axes = _axes(axis, len(shape))
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def reduced(shape: tuple[int, ...], axis: int | tuple[int, ...] | None) -> tuple[int, ...]:
    """`shape` without the reduced axes."""
    axes = _axes(axis, len(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def _kept(x, shape, axis):
    """A reduced Tensor with its reduced axes back, of length 1: it broadcasts against `shape`."""
    return reshape(x, shape=_kept_shape(shape, axis))


def _count(a, axis):
    """How many entries are reduced to one."""
    return math.prod(a.shape[i] for i in _axes(axis, a.ndim))


def _in_float32(a):
    """float16 in float32, to add up in; anything else as it is."""
    if a.dtype == np.float16:
        return a.astype(np.float32)
    return a


# Rows in one chain of additions when a sum runs across rows: the error grows with the length of the
# chain.
RUN = 128
LONGEST = 8 * RUN  # numbers in one product with ones


def _in_runs(a, axis):
    """Sum over one axis in runs of RUN entries, then over the sums of the runs, and so on."""
    while a.shape[axis] > RUN:
        n = a.shape[axis]
        whole = n - n % RUN
        head = a[along(axis, slice(0, whole))]
        # (..., n, ...) -> (..., n / RUN, RUN, ...) -> (..., n / RUN, ...)
        runs = head.reshape(*a.shape[:axis], whole // RUN, RUN, *a.shape[axis + 1 :])
        parts = [np.sum(runs, axis=axis + 1)]
        if whole < n:
            rest = a[along(axis, slice(whole, n))]
            parts.append(np.sum(rest, axis=axis, keepdims=True))
        a = np.concatenate(parts, axis=axis)
    return np.sum(a, axis=axis)


def _row_sums(x):
    """Sum of each row of x (m, n) -> (m,), as products with ones; None where np.sum does as well.

    BLAS adds in many chains at once: up to LONGEST numbers its sums have as many digits as NumPy's
    pairwise ones, in a third of the time.
    """
    m, n = x.shape
    if n <= LONGEST:
        return x @ np.ones(n, x.dtype)
    rest = n % LONGEST
    if rest and m > 1:
        return None
    # (m, n) -> (m n / LONGEST, LONGEST) -> (m, n / LONGEST), which are summed in turn
    parts = x[:, : n - rest].reshape(-1, LONGEST) @ np.ones(LONGEST, x.dtype)
    if rest:
        parts = np.append(parts, x[:, n - rest :] @ np.ones(rest, x.dtype))
    return _row_sums(parts.reshape(m, -1))


def column_sums(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Sum of the rows of x (n, F) -> (F,), as products with ones.

    BLAS is faster than a reduction along axis 0. At most RUN rows are added in one chain: of
    100,000 rows in float32 one product keeps five digits, this sum six.
    """
    if type(x) is not np.ndarray:
        return raw.column_sums(x, out)
    n = len(x)
    whole = n - n % RUN
    if n <= LONGEST:
        return np.matmul(np.ones_like(x, shape=(n,)), x, out=out)
    runs = x[:whole].reshape(-1, RUN, x.shape[1])
    sums = np.ones_like(x, shape=(RUN,)) @ runs  # (n / RUN, RUN, F) -> (n / RUN, F)
    if whole < n:
        sums[-1] += np.ones_like(x, shape=(n - whole,)) @ x[whole:]
    return column_sums(sums, out)


def _by_products(a, axes):
    """The sum over the first or the last axes of a contiguous array; None if it is not one."""
    if a.dtype.char not in "fd" or not a.flags.c_contiguous or not RUN < a.size:
        return None
    k, n = len(axes), _count(a, axes)
    if axes == tuple(range(a.ndim - k, a.ndim)):
        return _row_sums(a.reshape(-1, n))
    if axes == tuple(range(k)):
        return column_sums(a.reshape(n, -1))
    return None


def accurate_sum(
    a: ArrayLike, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> np.ndarray:
    """np.sum, equally accurate along every axis; float16 is added up in float32.

    NumPy adds pairwise along the last axes of a contiguous array. Along the others it adds row
    after row, and a float32 sum of a million rows keeps four digits; here every chain of additions
    is short.
    """
    if a.dtype.kind != "f" or type(a) is not np.ndarray:
        return np.sum(a, axis=axis, keepdims=keepdims)
    axes = tuple(sorted(_axes(axis, a.ndim)))
    wide = _in_float32(a)
    out = _by_products(wide, axes)
    if out is None:
        out = _by_additions(wide, axes)
    shape = _kept_shape(a.shape, axes) if keepdims else reduced(a.shape, axes)
    return out.reshape(shape).astype(a.dtype, copy=False)


def _by_additions(a, axes):
    """The sum over axes, which stay with length one, by NumPy: pairwise, or in short runs."""
    short = _count(a, axes) <= RUN  # several short axes make a long chain too
    last = axes == tuple(range(a.ndim - len(axes), a.ndim))
    if short or (a.flags.c_contiguous and last):
        return np.sum(a, axis=axes, keepdims=True)
    for i in axes:
        a = np.expand_dims(_in_runs(a, i), i)
    return a


def _to_all(g, y, a, axis=None, keepdims=False):
    # y = sum_i a_i:  dy/da_i = 1
    return broadcast_to(_kept(g, a.shape, axis), shape=a.shape)


def _to_all_in_shares(g, y, a, axis=None, keepdims=False):
    # y = sum_i a_i / n:  dy/da_i = 1/n
    return _to_all(g, y, a, axis) / _count(a, axis)


@primitive(_to_all, linear=True)
def sum(
    a: np.ndarray, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> np.ndarray:
    """Sum over axes; every summand receives the cotangent of the sum.

    Check: tinylm gradcheck sum
    """
    return accurate_sum(a, axis, keepdims)


@primitive(_to_all_in_shares, linear=True)
def mean(
    a: np.ndarray, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> np.ndarray:
    """Arithmetic mean over axes; nan over an axis of length 0. Check: tinylm gradcheck mean"""
    if a.dtype.kind != "f":
        return np.mean(a, axis=axis, keepdims=keepdims)
    wide = _in_float32(a)
    count = _count(a, axis)
    with np.errstate(over="ignore"):
        total = accurate_sum(wide, axis, keepdims)
    if not count:
        out = total * np.nan
    elif np.all(np.isfinite(total)):
        out = total / count
    else:  # the sum may overflow where the mean does not
        out = accurate_sum(wide / count, axis, keepdims)
    return out.astype(a.dtype, copy=False)


def _to_extremes(g, y, a, axis=None, keepdims=False):
    """The cotangent goes to the entries that equal the extreme, in even shares."""
    extreme = _kept(y, a.shape, axis).data
    hit = (a.data == extreme) | (np.isnan(a.data) & np.isnan(extreme))
    ties = np.sum(hit, axis=axis, keepdims=True).astype(g.dtype)
    return where(hit, _kept(g, a.shape, axis) / ties, 0.0)


@primitive(_to_extremes)
def max(
    a: np.ndarray, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> np.ndarray:
    """Largest value over axes; equal largest values share the gradient evenly.

    Check: tinylm gradcheck max
    """
    return np.max(a, axis=axis, keepdims=keepdims)


@primitive(_to_extremes)
def min(
    a: np.ndarray, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> np.ndarray:
    """Smallest value over axes; equal smallest values share the gradient evenly.

    Check: tinylm gradcheck min
    """
    return np.min(a, axis=axis, keepdims=keepdims)


def _softmax_rule(g, y, a, axis=None, keepdims=False):
    # y = log sum_k e^{a_k}   =>   dy/da_i = e^{a_i} / sum_k e^{a_k} = e^{a_i - y} = softmax(a)_i
    y = _kept(y, a.shape, axis)
    empty = y.data == -np.inf  # a row of only -inf has no gradient, not nan
    weights = exp(a - where(empty, 0.0, y))
    # y is rounded: at 1e10 float32 numbers are 1000 apart, so y is max a there, and the weights sum
    # to more than 1. Their sum is divided out.
    total = where(np.isfinite(y.data), sum(weights, axis=axis, keepdims=True), 1.0)
    return _kept(g, a.shape, axis) * weights / total


def largest(a: np.ndarray, axis: int | tuple[int, ...] | None) -> np.ndarray | float:
    """np.max with the axes kept; -inf along an axis without entries."""
    if a.size or _count(a, axis):
        return np.max(a, axis=axis, keepdims=True)
    return np.full_like(a, -np.inf, shape=_kept_shape(a.shape, axis))


@primitive(_softmax_rule)
def logsumexp(
    a: np.ndarray, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> np.ndarray:
    """log of the sum of exp(a) over axes, without overflow; its derivative is the softmax.

    A row of only -inf gives -inf. Check: tinylm gradcheck logsumexp
    """
    # log sum e^a = m + log sum e^{a-m}: with m the largest, no exponential is above 1
    if a.dtype.kind in "iub":
        wide = a.astype(np.float64)  # a difference of two int8 may not fit into int8
    else:
        wide = _in_float32(a)  # float16 ends at 65504, which a sum of exponentials may pass
    top = largest(wide, axis)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        out = np.log(accurate_sum(np.exp(wide - top), axis, True)) + top
    if not keepdims:
        out = np.squeeze(out, axis=_axes(axis, a.ndim))
    if a.dtype.kind == "f":
        return out.astype(a.dtype, copy=False)
    return out


def _sums_from_the_other_end(g, y, a, axis=None, reverse=False):
    # a_j is part of every y_i with i >= j, so dL/da_j = sum over i >= j of g_i
    if axis is None:  # y is flat
        g, axis = reshape(g, shape=(-1,)), 0
    sums = _cumsum(g, axis=axis, reverse=not reverse)
    return reshape(sums, shape=a.shape)  # y is (1,) of a single number


@primitive(_sums_from_the_other_end, linear=True, name="cumsum")
def _cumsum(a, axis=None, reverse=False):
    if a.dtype.kind == "f" and a.size:
        if axis is None:
            a, axis = a.reshape(-1), 0
        if a.ndim and -a.ndim <= axis < a.ndim:
            return running_sums(a, axis, reverse)
    if reverse:
        return np.flip(np.cumsum(np.flip(a, axis), axis), axis)
    return np.cumsum(a, axis=axis)


@composite
def cumsum(a: Tensor, axis: int | None = None) -> Tensor:
    """Running sum along one axis: entry i is the sum of entries 0 .. i.

    axis  int, or None: the values of a in row-major order, as in NumPy

    raises  ShapeError for several axes

    Check: tinylm gradcheck cumsum
    """
    if isinstance(axis, (tuple, list)):
        raise ShapeError(f"cumsum: sums run along one axis, not {axis}: call it for each in turn")
    return _cumsum(a, axis=axis)


@composite
def prod(a: Array, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
    """Product over axes. Its derivative needs no division, so it exists where a factor is 0 too.

    Floats are multiplied in float64, integers in the dtype that np.prod returns.

    Check: tinylm gradcheck prod
    """
    check_keepdims("prod", keepdims)
    a = as_tensor(a)
    axes, dtype = _axes(axis, a.ndim), a.dtype
    shape = _kept_shape(a.shape, axis) if keepdims else reduced(a.shape, axis)
    if dtype.kind in "iub":
        wide = dtype = np.prod(np.empty(0, dtype)).dtype  # int64 for the shorter ones
    elif dtype.kind == "f":
        wide = np.dtype(np.float64)  # 1e30 * 1e30 * 1e-30 * 1e-30 of float32 is 1
    else:
        wide = dtype
    if a.dtype != wide:
        a = a.astype(wide)
    # The axes to be reduced are moved to the end and joined: (..., n)
    others = [i for i in range(a.ndim) if i not in axes]
    x = transpose(a, axes=(*others, *axes))
    x = reshape(x, shape=(*(a.shape[i] for i in others), _count(a, axis)))
    if x.shape[-1] == 0:
        zero = reshape(sum(x, axis=-1), shape=shape)
        return (zero + 1).astype(dtype)  # the empty product is 1
    # Products of pairs, of pairs of pairs, ...: log2(n) operations are recorded.
    while x.shape[-1] > 1:
        half = x.shape[-1] // 2
        odd = x[..., 2 * half :]
        x = pairs = x[..., :half] * x[..., half : 2 * half]
        if odd.shape[-1]:
            x = concatenate([pairs, odd], axis=-1)
    out = reshape(x, shape=shape)
    if dtype == out.dtype:
        return out
    return out.astype(dtype)


@composite
def argmax(a: TensorLike, axis: int | None = None, keepdims: bool = False) -> np.ndarray:
    """Positions of the largest values, as an array of integers.

    Of equal ones the first; a nan comes before all.
    """
    return np.argmax(array_of(a), axis=axis, keepdims=keepdims)


@composite
def argmin(a: TensorLike, axis: int | None = None, keepdims: bool = False) -> np.ndarray:
    """Positions of the smallest values, as an array of integers.

    Of equal ones the first; a nan comes before all.
    """
    return np.argmin(array_of(a), axis=axis, keepdims=keepdims)
