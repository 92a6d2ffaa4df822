"""Fused layer normalization and root-mean-square normalization, with their backward derived by
hand.

Read next: activations.py.
"""

import math

import numpy as np

from tinylm.autograd.engine.operation import fused
from tinylm.autograd.kernels import composed
from tinylm.autograd.kernels.rows import as_rows, column_sums, row_dots
from tinylm.errors import ShapeError


def _check(operation, x, **vectors):
    for name, vector in vectors.items():
        if vector is not None and vector.shape != x.shape[-1:]:
            raise ShapeError(
                f"{operation}: {name} has shape {vector.shape}, but the last axis of x {x.shape} needs {x.shape[-1:]}"
            )


def _centered(rows, eps):
    """Rows less their means, (n, D), and the mean of their squares, (n,).

    Means are products with a vector (BLAS), not reductions.

    A mean is rounded, to about 1e-7 of itself in float32. Where it is more than 8 deviations that
    would show, and the mean of what is left is taken off too: a constant row of 1000 is 0.
    """
    D = max(rows.shape[1], 1)
    average = np.full_like(rows, 1 / D, shape=rows.shape[1:])
    means = rows @ average  # (n,)
    centered = rows - means[:, None]
    squares = row_dots(centered, centered) / D
    far = means * means > 64 * (squares + eps)
    if np.any(far):
        centered -= np.where(far, np.mean(centered, axis=1), 0)[:, None]
        squares = row_dots(centered, centered) / D
    return centered, squares


def _as_they_are(rows, eps):
    return rows, row_dots(rows, rows) / max(rows.shape[1], 1)


def _unit(rows, eps, center):
    """(center(rows) * r, r) with r = 1 / sqrt(mean of its squares + eps), (n, D) and (n,).

    Where squares overflow (1e20 in float32) the rows are divided by their largest value first: with
    x = s u, x / sqrt(mean(x^2) + eps) = u / sqrt(mean(u^2) + eps / s^2).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        normed, squares = center(rows, eps)
    if not math.isfinite(np.add.reduce(squares)):
        peak = np.max(np.abs(rows), axis=1)
        s = np.where(np.isfinite(squares) | ~np.isfinite(peak), 1, peak).astype(rows.dtype)
        normed, squares = center(rows / s[:, None], eps / s / s)
        inverse = 1 / np.sqrt(squares + eps / s / s)
        normed *= inverse[:, None]
        return normed, inverse / s
    inverse = 1 / np.sqrt(squares + eps)
    if normed is rows:
        return rows * inverse[:, None], inverse
    normed *= inverse[:, None]
    return normed, inverse


@fused(composed.layer_norm)
def layer_norm(x, gain, bias=None, *, eps=1e-5, keep):
    """Layer normalization: gain * (x - mean) / sqrt(var + eps) + bias   (book eq. 2.23; Ba et al.
    2016)

    x        (..., D)  each row is normalized by its own mean and (population) variance
    gain     (D,)      learned scale;  bias (D,) learned shift, or None
    eps      added to the variance, as libraries do; the book adds it to the standard deviation
    returns  (..., D)
    raises   ShapeError if gain or bias is not (D,)
    """
    # With c = x - mean, r = 1/sqrt(var + eps), n = c r and h = g * gain:
    #   dL/dx = r (h - mean(h) - n mean(h n))    mean() over the row: the two means are what subtracting the mean
    #   dL/dgain = sum over rows of g n              and dividing by the deviation take out
    #   dL/dbias = sum over rows of g
    _check("layer_norm", x, gain=gain, bias=bias)
    shape, D = x.shape, max(x.shape[-1], 1)  # backward needs the shape of x, not x: it may go
    normed, inverse = _unit(as_rows(x), eps, _centered)  # (n, D), (n,)
    y = normed * gain
    if bias is not None:
        y += bias

    def backward(g):
        g = as_rows(g)
        gn = g * normed

        def by_x(out):
            d = g * gain
            d -= (g @ gain / D)[:, None]  # mean(h) = g . gain / D
            d -= normed * (gn @ gain / D)[:, None]  # mean(h n) = g n . gain / D
            d *= inverse[:, None]
            return d.reshape(shape)

        return by_x, lambda out: column_sums(gn, out), lambda out: column_sums(g, out)

    return y.reshape(x.shape), backward


@fused(composed.rms_norm)
def rms_norm(x, gain, *, eps=1e-6, keep):
    """Root-mean-square layer normalization: gain * x / rms(x)   (book eq. 2.24; Zhang & Sennrich
    2019)

    x        (..., D)  activations
    gain     (D,)      learned scale
    eps      added to mean(x**2) before the root, so that x = 0 is safe
    returns  (..., D)
    raises   ShapeError if gain is not (D,)
    """
    # With r = 1/sqrt(mean(x^2) + eps), n = x r and h = g * gain:
    #   dL/dx = r (h - n mean(h n)),   dL/dgain = sum over rows of g n
    _check("rms_norm", x, gain=gain)
    shape, D = x.shape, max(x.shape[-1], 1)  # backward needs the shape of x, not x: it may go
    normed, inverse = _unit(as_rows(x), eps, _as_they_are)  # (n, D), (n,)

    def backward(g):
        g = as_rows(g)
        gn = g * normed

        def by_x(out):
            d = g * gain
            d -= normed * (gn @ gain / D)[:, None]
            d *= inverse[:, None]
            return d.reshape(shape)

        return by_x, lambda out: column_sums(gn, out)

    return (normed * gain).reshape(x.shape), backward
