"""Fused layer normalization and root-mean-square normalization, with their backward derived by hand.

Read next: activations.py.
"""
import numpy as np

from tinylm.autograd.engine.operation import fused
from tinylm.autograd.kernels import composed
from tinylm.autograd.kernels.rows import column_sums, row_dots
from tinylm.errors import ShapeError


def _check(operation, x, **vectors):
    for name, vector in vectors.items():
        if vector is not None and vector.shape != x.shape[-1:]:
            raise ShapeError(f"{operation}: {name} has shape {vector.shape}, but the last axis of x {x.shape} needs {x.shape[-1:]}")


def _mean_squares(rows):
    """Mean of the squares of every row, (n, D) -> (n,). In float16 their sum would pass 65504, so it is taken in float32."""
    wide = rows if rows.dtype.itemsize > 2 else rows.astype(np.float32)
    return (row_dots(wide, wide) / rows.shape[1]).astype(rows.dtype, copy=False)


@fused(composed.layer_norm)
def layer_norm(x, gain, bias=None, *, eps=1e-5, keep):
    """Layer normalization: gain * (x - mean) / sqrt(var + eps) + bias   (book eq. 2.23; Ba et al. 2016)

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
    # Row means are products with a vector (BLAS), not reductions.
    _check("layer_norm", x, gain=gain, bias=bias)
    shape, D = x.shape, x.shape[-1]                         # backward needs the shape of x, not x: it may go
    rows = x.reshape(-1, D)                                                             # (..., D) -> (n, D)
    average = np.full_like(x, 1 / D, shape=(D,))
    normed = rows - (rows @ average)[:, None]
    inverse = 1 / np.sqrt(_mean_squares(normed) + eps)                                  # (n,)
    normed *= inverse[:, None]
    y = normed * gain
    if bias is not None:
        y += bias

    def backward(g):
        g = g.reshape(-1, D)
        gn = g * normed

        def by_x(out):
            d = g * gain
            d -= (g @ gain / D)[:, None]                                                # mean(h) = g . gain / D
            d -= normed * (gn @ gain / D)[:, None]                                      # mean(h n) = g n . gain / D
            d *= inverse[:, None]
            return d.reshape(shape)

        return by_x, lambda out: column_sums(gn, out), lambda out: column_sums(g, out)

    return y.reshape(x.shape), backward


@fused(composed.rms_norm)
def rms_norm(x, gain, *, eps=1e-6, keep):
    """Root-mean-square layer normalization: gain * x / rms(x)   (book eq. 2.24; Zhang & Sennrich 2019)

    x        (..., D)  activations
    gain     (D,)      learned scale
    eps      added to mean(x**2) before the root, so that x = 0 is safe
    returns  (..., D)
    raises   ShapeError if gain is not (D,)
    """
    # With r = 1/sqrt(mean(x^2) + eps), n = x r and h = g * gain:
    #   dL/dx = r (h - n mean(h n)),   dL/dgain = sum over rows of g n
    _check("rms_norm", x, gain=gain)
    shape, D = x.shape, x.shape[-1]                         # backward needs the shape of x, not x: it may go
    rows = x.reshape(-1, D)                                                             # (..., D) -> (n, D)
    inverse = 1 / np.sqrt(_mean_squares(rows) + eps)                                    # (n,)
    normed = rows * inverse[:, None]

    def backward(g):
        g = g.reshape(-1, D)
        gn = g * normed

        def by_x(out):
            d = g * gain
            d -= normed * (gn @ gain / D)[:, None]
            d *= inverse[:, None]
            return d.reshape(shape)

        return by_x, lambda out: column_sums(gn, out)

    return (normed * gain).reshape(x.shape), backward
