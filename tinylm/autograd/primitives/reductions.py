"""Primitives that reduce or accumulate along axes: None for all, an int, or a tuple, as in NumPy.

A sum spreads its cotangent evenly, a maximum sends it to where the maximum is, a logsumexp spreads
it by the softmax. Read next: statistics.py.
"""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinylm.autograd.engine.operation import composite, primitive
from tinylm.autograd.engine.tensor import array_of, as_tensor
from tinylm.autograd.primitives.elementwise import exp, where
from tinylm.autograd.primitives.shaping import (
    along,
    broadcast_to,
    concatenate,
    flip,
    reshape,
    transpose,
)


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


def reduced(shape, axis):
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


def accurate_sum(a, axis=None, keepdims=False):
    """np.sum, equally accurate along every axis; float16 is added up in float32.

    NumPy adds pairwise along the last axes of a contiguous array. Along the others it adds row
    after row, and a float32 sum of a million rows keeps four digits; here every chain of additions
    is short.
    """
    if a.dtype.kind != "f" or type(a) is not np.ndarray:
        return np.sum(a, axis=axis, keepdims=keepdims)
    axes = _axes(axis, a.ndim)
    wide = _in_float32(a)
    short = _count(a, axes) <= RUN  # several short axes make a long chain too
    last = sorted(axes) == list(range(a.ndim - len(axes), a.ndim))
    contiguous = a.flags.c_contiguous and last
    n = _count(a, axes)
    if contiguous and 1 < n <= RUN < a.size and wide.dtype.char in "fd":
        # Of short rows: a product with ones adds in as many chains as np.sum, 4 to 9 times as fast.
        out = (wide.reshape(-1, n) @ np.ones(n, wide.dtype)).reshape(_kept_shape(a.shape, axes))
    elif short or contiguous:
        out = np.sum(wide, axis=axis, keepdims=True)
    else:
        out = wide
        for i in sorted(axes):
            out = np.expand_dims(_in_runs(out, i), i)
    if not keepdims:
        out = np.squeeze(out, axis=axes)
    return out.astype(a.dtype, copy=False)


def _to_all(g, y, a, axis=None, keepdims=False):
    # y = sum_i a_i:  dy/da_i = 1
    return broadcast_to(_kept(g, a.shape, axis), shape=a.shape)


def _to_all_in_shares(g, y, a, axis=None, keepdims=False):
    # y = sum_i a_i / n:  dy/da_i = 1/n
    return _to_all(g, y, a, axis) / _count(a, axis)


@primitive(_to_all, linear=True)
def sum(a, axis=None, keepdims=False):
    """Sum over axes; every summand receives the cotangent of the sum.

    Check: tinylm gradcheck sum
    """
    return accurate_sum(a, axis, keepdims)


@primitive(_to_all_in_shares, linear=True)
def mean(a, axis=None, keepdims=False):
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
def max(a, axis=None, keepdims=False):
    """Largest value over axes; equal largest values share the gradient evenly.

    Check: tinylm gradcheck max
    """
    return np.max(a, axis=axis, keepdims=keepdims)


@primitive(_to_extremes)
def min(a, axis=None, keepdims=False):
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


def largest(a, axis):
    """np.max with the axes kept; -inf along an axis without entries."""
    if a.size or _count(a, axis):
        return np.max(a, axis=axis, keepdims=True)
    return np.full_like(a, -np.inf, shape=_kept_shape(a.shape, axis))


@primitive(_softmax_rule)
def logsumexp(a, axis=None, keepdims=False):
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


def _sums_from_the_end(g, y, a, axis=None):
    # a_j is part of every y_i with i >= j, so dL/da_j = sum over i >= j of g_i
    sums = flip(cumsum(flip(g, axis=axis), axis=axis), axis=axis)
    return reshape(sums, shape=a.shape)  # y is flat if axis is None, and (1,) of a single number


@primitive(_sums_from_the_end, linear=True)
def cumsum(a, axis=None):
    """Running sum along one axis: entry i is the sum of entries 0 .. i.

    axis  int, or None: the values of a in row-major order, as in NumPy

    Check: tinylm gradcheck cumsum
    """
    if a.dtype.kind != "f":
        return np.cumsum(a, axis=axis)
    wide = np.result_type(a.dtype, np.float64)  # one chain of additions: rounded once, at the end
    return np.cumsum(a, axis=axis, dtype=wide).astype(a.dtype, copy=False)


@composite
def prod(a, axis=None, keepdims=False):
    """Product over axes. Its derivative needs no division, so it exists where a factor is 0 too.

    Floats are multiplied in float64, integers in the dtype that np.prod returns.

    Check: tinylm gradcheck prod
    """
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
def argmax(a, axis=None):
    """Positions of the largest values, as an array of integers.

    Of equal ones the first; a nan comes before all.
    """
    return np.argmax(array_of(a), axis=axis)


@composite
def argmin(a, axis=None):
    """Positions of the smallest values, as an array of integers.

    Of equal ones the first; a nan comes before all.
    """
    return np.argmin(array_of(a), axis=axis)
