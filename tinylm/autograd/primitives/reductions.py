"""Primitives that reduce or accumulate along axes. Axis arguments are NumPy's: None for all, an
int, or a tuple.

Read next: statistics.py.
"""

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinylm.autograd.engine.operation import composite, primitive
from tinylm.autograd.engine.tensor import Tensor
from tinylm.autograd.primitives.elementwise import exp, where
from tinylm.autograd.primitives.shaping import broadcast_to, concatenate, flip, reshape, transpose


def _axes(axis, ndim):
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
    """A reduced Tensor with its reduced axes back as length one, so that it broadcasts against
    `shape`.
    """
    return reshape(x, shape=_kept_shape(shape, axis))


def _count(a, axis):
    return int(np.prod([a.shape[i] for i in _axes(axis, a.ndim)], dtype=int))


# Rows added at a time when a sum runs across rows: an error grows with the number of additions in a
# chain.
RUN = 128


def _in_runs(a, axis):
    """Sum over one axis in runs of RUN, then over the sums of the runs: pairwise, as NumPy only
    does along a row.
    """
    while a.shape[axis] > RUN:
        n = a.shape[axis]
        whole = n - n % RUN
        head = a[(slice(None),) * axis + (slice(0, whole),)]
        runs = head.reshape(*a.shape[:axis], whole // RUN, RUN, *a.shape[axis + 1 :])
        parts = [np.sum(runs, axis=axis + 1)]
        if whole < n:
            rest = a[(slice(None),) * axis + (slice(whole, n),)]
            parts.append(np.sum(rest, axis=axis, keepdims=True))
        a = np.concatenate(parts, axis=axis)
    return np.sum(a, axis=axis)


def accurate_sum(a, axis=None, keepdims=False):
    """np.sum whose digits do not depend on the axis, with float16 added up in float32.

    NumPy adds pairwise along the last axis of a contiguous array. Along the others it adds row
    after row, and a float32 sum of a million rows keeps four digits; here every chain of additions
    is short.
    """
    if a.dtype.kind != "f" or type(a) is not np.ndarray:
        return np.sum(a, axis=axis, keepdims=keepdims)
    axes = _axes(axis, a.ndim)
    wide = a.astype(np.float32) if a.dtype == np.float16 else a
    short = _count(a, axes) <= RUN  # several short axes make a long chain too
    pairwise = short or (
        a.flags.c_contiguous and sorted(axes) == list(range(a.ndim - len(axes), a.ndim))
    )
    if pairwise:
        out = np.sum(wide, axis=axis, keepdims=True)
    else:
        out = wide
        for i in sorted(axes):
            out = np.expand_dims(_in_runs(out, i), i)
    if not keepdims:
        out = np.squeeze(out, axis=axes)
    return out.astype(a.dtype, copy=False)


@primitive(
    lambda g, y, a, axis=None, keepdims=False: broadcast_to(_kept(g, a.shape, axis), shape=a.shape),
    linear=True,
)
def sum(a, axis=None, keepdims=False):
    """Sum over axes; every summand receives the cotangent of the sum."""
    return accurate_sum(a, axis, keepdims)


@primitive(
    lambda g, y, a, axis=None, keepdims=False: (
        broadcast_to(_kept(g, a.shape, axis), shape=a.shape) / _count(a, axis)
    ),
    linear=True,
)
def mean(a, axis=None, keepdims=False):
    """Arithmetic mean over axes."""
    if a.dtype.kind != "f":
        return np.mean(a, axis=axis, keepdims=keepdims)
    wide = (
        a.astype(np.float32) if a.dtype == np.float16 else a
    )  # the sum may pass what the mean does not
    count = _count(a, axis)
    with np.errstate(over="ignore"):
        total = accurate_sum(wide, axis, keepdims)
    if count and not np.all(np.isfinite(total)):  # a sum may overflow where the mean does not
        return accurate_sum(wide / count, axis, keepdims).astype(a.dtype, copy=False)
    return (total / count if count else total * np.nan).astype(a.dtype, copy=False)


def _to_extremes(g, y, a, axis=None, keepdims=False):
    extreme = _kept(y, a.shape, axis).data
    hit = (a.data == extreme) | (np.isnan(a.data) & np.isnan(extreme))
    ties = np.sum(hit, axis=axis, keepdims=True).astype(g.dtype)
    return where(
        hit, _kept(g, a.shape, axis) / ties, 0.0
    )  # where the extreme is taken; ties share evenly


@primitive(_to_extremes)
def max(a, axis=None, keepdims=False):
    """Largest value over axes; equal largest values share the gradient evenly."""
    return np.max(a, axis=axis, keepdims=keepdims)


@primitive(_to_extremes)
def min(a, axis=None, keepdims=False):
    """Smallest value over axes; equal smallest values share the gradient evenly."""
    return np.min(a, axis=axis, keepdims=keepdims)


def _softmax_rule(g, y, a, axis=None, keepdims=False):
    y = _kept(y, a.shape, axis)
    empty = y.data == -np.inf  # a row of only -inf has no gradient, not nan
    weights = exp(a - where(empty, 0.0, y))  # softmax, but for the rounding of y: 1000 at 1e10
    total = where(np.isfinite(y.data), sum(weights, axis=axis, keepdims=True), 1.0)
    return _kept(g, a.shape, axis) * weights / total


def largest(a, axis):
    """np.max with the axes kept, where an axis without entries gives -inf: softmax of nothing is
    nothing.
    """
    if a.size or _count(a, axis):
        return np.max(a, axis=axis, keepdims=True)
    return np.full_like(a, -np.inf, shape=_kept_shape(a.shape, axis))


@primitive(_softmax_rule)
def logsumexp(a, axis=None, keepdims=False):
    """log of the sum of exp(a) over axes, without overflow; its derivative is the softmax. A row of
    -inf gives -inf.
    """
    wide = (
        a.astype(np.float32) if a.dtype == np.float16 else a
    )  # a sum of a million ones passes 65504
    wide = (
        a.astype(np.float64) if a.dtype.kind in "iub" else wide
    )  # differences of int8 need not fit into int8
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
    sums = flip(cumsum(flip(g, axis=axis), axis=axis), axis=axis)
    return reshape(sums, shape=a.shape)  # another shape without an axis, and of a single number


@primitive(_sums_from_the_end, linear=True)
def cumsum(a, axis=None):
    """Running sum along one axis: entry i is the sum of entries 0 .. i; its derivative is the
    running sum from the end.

    axis  int, or None: the values of a in row-major order, as in NumPy
    """
    if a.dtype.kind != "f":
        return np.cumsum(a, axis=axis)
    wide = np.result_type(a.dtype, np.float64)  # one chain of additions: rounded once, at the end
    return np.cumsum(a, axis=axis, dtype=wide).astype(a.dtype, copy=False)


@composite
def prod(a, axis=None, keepdims=False):
    """Product over axes, of pairs, pairs of pairs and so on: no division, so a zero has its
    derivative too.

    Floats are multiplied in float64, integers in the dtype that np.prod returns.
    """
    if not isinstance(a, Tensor):
        a = Tensor(a)
    shape, dtype = _kept_shape(a.shape, axis) if keepdims else reduced(a.shape, axis), a.dtype
    axes = _axes(axis, a.ndim)
    if dtype.kind in "iub":
        dtype = np.prod(np.empty(0, dtype)).dtype  # int64 for the shorter ones
    wide = (
        np.dtype(np.float64) if dtype.kind == "f" else dtype
    )  # 1e30 * 1e30 * 1e-30 * 1e-30 of float32 is 1
    if a.dtype != wide:
        a = a.astype(wide)
    others = [i for i in range(a.ndim) if i not in axes]
    x = transpose(a, axes=(*others, *axes))
    x = reshape(x, shape=(*(a.shape[i] for i in others), _count(a, axis)))  # (..., n)
    if x.shape[-1] == 0:
        return (reshape(sum(x, axis=-1), shape=shape) + 1).astype(dtype)  # a product of nothing
    while x.shape[-1] > 1:
        half = x.shape[-1] // 2
        pairs = x[..., :half] * x[..., half : 2 * half]
        x = pairs if x.shape[-1] == 2 * half else concatenate([pairs, x[..., 2 * half :]], axis=-1)
    if dtype == x.dtype:
        return reshape(x, shape=shape)
    return reshape(x, shape=shape).astype(dtype)


@composite
def argmax(a, axis=None):
    """Positions of the largest values, as a plain array of integers: the first one of several, a
    nan before all.
    """
    return np.argmax(a.data if isinstance(a, Tensor) else a, axis=axis)


@composite
def argmin(a, axis=None):
    """Positions of the smallest values, as a plain array of integers: the first one of several, a
    nan before all.
    """
    return np.argmin(a.data if isinstance(a, Tensor) else a, axis=axis)
