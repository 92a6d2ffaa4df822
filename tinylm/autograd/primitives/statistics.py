"""Variance, standard deviation and length: reductions by way of squares.

The square of 1e20 does not fit into float32, though the deviation and the length do: large values
are divided by a constant first. Read next: products.py.
"""

import math

import numpy as np

from tinylm.autograd.engine.operation import composite
from tinylm.autograd.engine.tensor import Tensor
from tinylm.autograd.primitives.elementwise import sqrt, where
from tinylm.autograd.primitives.reductions import mean, reduced, sum
from tinylm.autograd.primitives.shaping import reshape
from tinylm.errors import DtypeError


def _wide(name, a):
    """a as a Tensor, float16 in float32 for its squares to fit; and the dtype of the result."""
    if not isinstance(a, Tensor):
        a = Tensor(a)
    dtype = a.dtype if a.dtype.kind == "f" else np.dtype(float)
    if a.dtype.kind == "c":
        raise DtypeError(f"{name}: is not defined for {a.dtype}: take abs() first")
    return (a.astype(np.float32) if dtype == np.float16 else a), dtype


def scale_of_squares(a, axis, small=True):
    """What to divide a by along `axis` so that squares do not overflow (nor vanish, if `small`)."""
    if isinstance(a, Tensor):
        a = a.data
    if a.size == 0 or a.dtype.kind != "f":
        return 1.0
    peak = np.max(np.abs(a), axis=axis, keepdims=True)
    limits = np.finfo(a.dtype)
    large = math.sqrt(float(limits.max) / a.size) / 2
    least = math.sqrt(float(limits.tiny)) / float(limits.eps) if small else 0
    ordinary = (peak >= least) & (peak <= large) | (peak == 0) | ~np.isfinite(peak)
    if np.all(ordinary):
        return 1.0
    # no further than needed: cotangents are multiplied by it
    border = np.where(peak > large, large, max(least, float(limits.tiny)))
    return np.where(ordinary, 1, peak / border).astype(a.dtype)


def centered(a, axis):
    """a less its mean, twice: a mean is rounded, which counts far from 0 (1e6 +- 1 in float32)."""
    near = a - mean(a.data, axis=axis, keepdims=True).data  # a constant: its slope cancels
    return near - mean(near, axis=axis, keepdims=True)


def _narrow(x, dtype):
    if x.dtype == dtype:
        return x
    return x.astype(dtype)


@composite
def mean_where(a, mask, axis=None):
    """Mean over axes of the entries that a mask shows; 0 where it shows none.

    mask     bool array that broadcasts to a; what it hides may be inf or nan
    returns  as mean(). Of float16 the sum is float32: it may pass 65504 where the mean does not
    """
    wide, dtype = _wide("mean_where", a)
    mask = np.broadcast_to(mask, wide.shape)
    many = np.maximum(np.sum(mask, axis=axis), 1).astype(wide.dtype)
    return _narrow(sum(where(mask, wide, 0.0), axis=axis) / many, dtype)


@composite
def mean_square(a, axis=None):
    """Mean of the squares over axes; of float16 in float32, which has 300**2. Returns as mean()."""
    wide, dtype = _wide("mean_square", a)
    return _narrow(mean(wide * wide, axis=axis), dtype)


@composite
def var(a, axis=None, keepdims=False):
    """Population variance over axes: the mean squared distance from the mean (book eq. 2.23)."""
    wide, dtype = _wide("var", a)
    large = scale_of_squares(wide, axis, small=False)  # a distance may not be finite
    distances = centered(wide / large, axis) * large
    return _narrow(mean(distances * distances, axis=axis, keepdims=keepdims), dtype)


@composite
def std(a, axis=None, keepdims=False):
    """Population standard deviation over axes, the root of var().

    Where all values are equal there is no derivative; the subgradient 0 is taken, as in torch.
    """
    wide, dtype = _wide("std", a)
    large = scale_of_squares(wide, axis, small=False)  # a distance may not be finite
    distances = centered(wide / large, axis)
    scale = scale_of_squares(distances, axis)
    spread = mean((distances / scale) ** 2, axis=axis, keepdims=True)
    flat = spread.data == 0  # False for nan, which stays nan
    root = where(flat, 0.0, sqrt(where(flat, 1.0, spread))) * scale * large
    if not keepdims:
        root = reshape(root, shape=reduced(wide.shape, axis))
    return _narrow(root, dtype)


@composite
def norm(a, axis=None, keepdims=False):
    """Euclidean length over axes, the root of the sum of squares; its derivative at 0 is 0."""
    wide, dtype = _wide("norm", a)
    scale = scale_of_squares(wide, axis)
    squares = sum((wide / scale) ** 2, axis=axis, keepdims=True)
    zero = squares.data == 0
    root = where(zero, 0.0, sqrt(where(zero, 1.0, squares))) * scale
    if not keepdims:
        root = reshape(root, shape=reduced(wide.shape, axis))
    return _narrow(root, dtype)
