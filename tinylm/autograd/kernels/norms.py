"""Fused layer normalization and root-mean-square normalization, their backward derived by hand.

The plain twins are in composed.py. Read next: activations.py.
"""

from collections.abc import Callable

import numpy as np

from tinylm.autograd.device import norms as raw
from tinylm.autograd.engine.operation import fused
from tinylm.autograd.kernels import composed
from tinylm.autograd.kernels.rows import as_rows, column_sums, row_dots, weighted_column_sums
from tinylm.errors import ShapeError

# Rows with larger sums of squares are divided by their largest value first: 2e28 in float32.
LARGE = {np.dtype(d): np.finfo(d).max ** np.dtype(d).type(0.75) for d in "efdg"}


def _check(operation, x, **vectors):
    for name, vector in vectors.items():
        if vector is not None and vector.shape != x.shape[-1:]:
            raise ShapeError(
                f"{operation}: {name} has shape {vector.shape}, "
                f"but the last axis of x {x.shape} needs {x.shape[-1:]}"
            )


def _centered(rows, eps):
    """Rows less their means, (n, D), and the mean of their squares (the variance), (n,)."""
    D = max(rows.shape[1], 1)
    average = np.full_like(rows, 1 / D, shape=rows.shape[1:])  # (D,)
    means = rows @ average  # (n, D) -> (n,): a product is BLAS, faster than a reduction
    centered = rows - means[:, None]
    squares = row_dots(centered, centered) / D
    # A mean is rounded to 1e-7 of itself in float32. Where it is more than 8 deviations that error
    # would show, so the mean of what is left is subtracted too: a row of 1000s becomes exactly 0.
    far = means * means > 64 * (squares + eps)
    if far.any():
        centered -= np.where(far, np.mean(centered, axis=1), 0)[:, None]
        squares = row_dots(centered, centered) / D
    return centered, squares


def _uncentered(rows, eps):
    """The rows themselves, (n, D), and the mean of their squares, (n,)."""
    return rows, row_dots(rows, rows) / max(rows.shape[1], 1)


def _normalized(rows, eps, center):
    """(c, r, slope): c = center(rows), (n, D), and r = 1 / sqrt(mean(c^2) + eps), (n,).

    c r is normalized. slope is r, except for rows of large numbers: see _normalized_large.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        c, squares = center(rows, eps)
    if not np.add.reduce(squares) < LARGE[rows.dtype]:  # nor for nan
        return _normalized_large(rows, eps, center)
    r = 1 / np.sqrt(squares + eps)
    return c, r, r


def _normalized_large(rows, eps, center):
    """As _normalized(), for rows whose squares, or r^3, leave the range of their dtype."""
    # With x = s u, s the largest value of the row, no square of u overflows:
    #   x / sqrt(mean(x^2) + eps) = u / sqrt(mean(u^2) + eps/s^2)
    # So c and r are those of u, and the slope by x is r/s.
    with np.errstate(over="ignore", invalid="ignore"):
        squares = center(rows, eps)[1]
    peak = np.max(np.abs(rows), axis=1)
    ordinary = (squares < LARGE[rows.dtype]) | ~np.isfinite(peak)
    s = np.where(ordinary, 1, peak).astype(rows.dtype)  # (n,)
    c, squares = center(rows / s[:, None], eps / s / s)
    r = 1 / np.sqrt(squares + eps / s / s)
    return c, r, r / s


def _outer(r, gain):
    """r_i gain_j: (n,), (D,) -> (n, D), by BLAS, which takes two thirds of the time."""
    if type(r) is np.ndarray and r.dtype == gain.dtype:
        return np.dot(r[:, None], gain[None])
    return r[:, None] * gain


@fused(composed.layer_norm, raw=raw.layer_norm)
def layer_norm(
    x: np.ndarray,
    gain: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    eps: float = 1e-5,
    keep: bool,
) -> tuple[np.ndarray, Callable]:
    """Layer normalization: gain * (x - mean) / sqrt(var + eps) + bias   (book eq. 2.23)

    x        (..., D)  each row is normalized by its own mean and (population) variance
    gain     (D,)      learned scale;  bias (D,) learned shift, or None
    eps      added to the variance, as libraries do; the book adds it to the standard deviation
    returns  (..., D)
    raises   ShapeError if gain or bias is not (D,)

    Ba et al. 2016. Plain twin: composed.layer_norm. Check: tinylm gradcheck layer_norm
    """
    _check("layer_norm", x, gain=gain, bias=bias)
    shape, D = x.shape, max(x.shape[-1], 1)  # backward needs the shape of x, not x: it may go
    c, r, slope = _normalized(as_rows(x), eps, _centered)  # (..., D) -> (n, D), (n,), (n,)
    y = _outer(r, gain)
    y *= c  # c r gain: whole arrays are multiplied, as rows and columns take twice as long
    if bias is not None:
        y += bias

    # For one row let c = x - mean(x), r = 1/sqrt(mean(c^2) + eps), n = c r, and h = dL/dn = g gain.
    #   dL/dc = r (h - n mean(h n))      as dr/dc_i = -r^3 c_i/D, and c . h = (n . h)/r
    #   dL/dx = dL/dc - mean(dL/dc)      as subtracting the mean is its own transpose
    #         = r (h - mean(h) - n mean(h n))                  since mean(n) = 0
    # gain and bias are read by every row, so their cotangents add up over the rows:
    #   dL/dgain = sum g n,   dL/dbias = sum g
    def backward(g):
        g = as_rows(g)  # (..., D) -> (n, D)
        gc = g * c

        def by_x(out):
            d = _outer(slope, gain)
            d *= g  # r h
            mean = g @ (gain / D)  # mean(h), (n,)
            mean *= slope
            d -= mean[:, None]
            d -= c * _weight(gc, gain, r, slope)[:, None]  # r n mean(h n)
            return d.reshape(shape)

        return by_x, lambda out: weighted_column_sums(r, gc, out), lambda out: column_sums(g, out)

    return y.reshape(x.shape), backward


def _weight(gc, gain, r, slope):
    """What c is multiplied by in r n mean(h n), with n = c r: (n,)."""
    weight = gc @ (gain / max(gc.shape[1], 1))
    weight *= r  # mean(h n) = (g n) . gain / D
    weight *= r
    weight *= slope
    return weight


@fused(composed.rms_norm, raw=raw.rms_norm)
def rms_norm(
    x: np.ndarray, gain: np.ndarray, *, eps: float = 1e-6, keep: bool
) -> tuple[np.ndarray, Callable]:
    """Root-mean-square layer normalization: gain * x / rms(x)   (book eq. 2.24)

    x        (..., D)  activations
    gain     (D,)      learned scale
    eps      added to mean(x**2) before the root, so that x = 0 is safe
    returns  (..., D)
    raises   ShapeError if gain is not (D,)

    Zhang & Sennrich 2019. Plain twin: composed.rms_norm. Check: tinylm gradcheck rms_norm
    """
    _check("rms_norm", x, gain=gain)
    shape = x.shape
    c, r, slope = _normalized(as_rows(x), eps, _uncentered)  # (..., D) -> (n, D), (n,), (n,)
    y = _outer(r, gain)
    y *= c

    # As in layer_norm without the mean. For one row let r = 1/sqrt(mean(x^2) + eps), n = x r, and
    # h = dL/dn = g gain:
    #   dL/dx = r h + x (x . h)(-r^3/D) = r (h - n mean(h n)),   dL/dgain = sum over rows of g n
    def backward(g):
        g = as_rows(g)  # (..., D) -> (n, D)
        gc = g * c

        def by_x(out):
            d = _outer(slope, gain)
            d *= g  # r h
            d -= c * _weight(gc, gain, r, slope)[:, None]  # r n mean(h n)
            return d.reshape(shape)

        return by_x, lambda out: weighted_column_sums(r, gc, out)

    return y.reshape(x.shape), backward
