"""Primitives that reduce or accumulate along axes. Axis arguments are NumPy's: None for all, an int, or a tuple.

Read next: products.py.
"""
import numpy as np

from tinylm.autograd.engine.operation import primitive
from tinylm.autograd.primitives.elementwise import exp, sqrt, where
from tinylm.autograd.primitives.shaping import broadcast_to, flip, reshape


def _axes(axis, ndim):
    if axis is None:
        return tuple(range(ndim))
    return tuple(i % ndim for i in (axis if isinstance(axis, tuple) else (axis,)))


def _kept(x, shape, axis):
    """A reduced Tensor with its reduced axes back as length one, so that it broadcasts against `shape`."""
    axes = _axes(axis, len(shape))
    return reshape(x, shape=tuple(1 if i in axes else n for i, n in enumerate(shape)))


def _count(a, axis):
    return int(np.prod([a.shape[i] for i in _axes(axis, a.ndim)], dtype=int))


@primitive(lambda g, y, a, axis=None, keepdims=False: broadcast_to(_kept(g, a.shape, axis), shape=a.shape), linear=True)
def sum(a, axis=None, keepdims=False):
    """Sum over axes; every summand receives the cotangent of the sum."""
    return np.sum(a, axis=axis, keepdims=keepdims)


@primitive(lambda g, y, a, axis=None, keepdims=False: broadcast_to(_kept(g, a.shape, axis), shape=a.shape) / _count(a, axis),
           linear=True)
def mean(a, axis=None, keepdims=False):
    """Arithmetic mean over axes."""
    return np.mean(a, axis=axis, keepdims=keepdims)


def var(a, axis=None, keepdims=False):
    """Population variance over axes: the mean of squared distances from the mean (NumPy's ddof=0; book eq. 2.23)."""
    centered = a - mean(a, axis=axis, keepdims=True)
    return mean(centered * centered, axis=axis, keepdims=keepdims)


def std(a, axis=None, keepdims=False):
    """Population standard deviation over axes, the root of var(); its derivative is infinite where all values are equal."""
    return sqrt(var(a, axis=axis, keepdims=keepdims))


def _to_extremes(g, y, a, axis=None, keepdims=False):
    hit = (a.data == _kept(y, a.shape, axis).data).astype(g.dtype)      # where the extreme is taken; ties share evenly
    share = hit / hit.sum(axis=axis, keepdims=True)
    return _kept(g, a.shape, axis) * share


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
    weights = exp(a - where(np.isfinite(y.data), y, 0.0))               # a row of only -inf has no gradient, not NaN
    return _kept(g, a.shape, axis) * weights


@primitive(_softmax_rule)
def logsumexp(a, axis=None, keepdims=False):
    """log of the sum of exp(a) over axes, without overflow; its derivative is the softmax. A row of -inf gives -inf."""
    top = np.max(a, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        out = np.log(np.sum(np.exp(a - top), axis=axis, keepdims=True)) + top
    return out if keepdims else np.squeeze(out, axis=_axes(axis, a.ndim))


@primitive(lambda g, y, a, axis: flip(cumsum(flip(g, axis=axis), axis=axis), axis=axis), linear=True)
def cumsum(a, axis):
    """Running sum along one axis: entry i is the sum of entries 0 .. i; its derivative is the running sum from the end."""
    return np.cumsum(a, axis=axis)
