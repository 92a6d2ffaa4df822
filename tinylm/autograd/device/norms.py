"""Layer norm and RMS norm as kernels: one launch forward, one backward for x, one each for gain and
bias (rows.py).

A block takes a row. The derivations stand above the twins in ../kernels/norms.py. Read next:
activations.py.
"""

from collections.abc import Callable

import numpy as np

from tinylm.autograd.device.launch import Source, can_launch, contiguous, threads_for
from tinylm.autograd.device.rows import column_sums

SOURCE = Source(r"""
// normed = c r  and  y = normed gain + bias  for c = x - mean(x), or c = x if not centered, and
// r = 1 / sqrt(mean(c^2) + eps), (n,).  Null: no bias, normed is not kept.
extern "C" __global__
void norm_forward(const real *x, const real *gain, const real *bias, real *y, real *normed,
                  real *inverse, const long long D, const double eps, const long long centered) {
    __shared__ real shared[256];
    x += blockIdx.x * D;
    y += blockIdx.x * D;
    real scale = 1, added = (real)eps, mean, rest, squares;
    // Rows whose squares overflow are divided by their largest value, and looked at again.
    for (int again = 0;; again = 1) {
        real sum = 0;
        mean = rest = 0;
        if (centered) {
            for (long long i = threadIdx.x; i < D; i += blockDim.x) sum += x[i] / scale;
            mean = block_sum(sum, shared) / D;
        }
        sum = 0;
        for (long long i = threadIdx.x; i < D; i += blockDim.x)
            sum += (x[i] / scale - mean) * (x[i] / scale - mean);
        squares = block_sum(sum, shared) / D;
        // The rounding error of a mean far from 0 shows: the mean of what is left goes too.
        if (centered && mean * mean > 64 * (squares + added)) {
            sum = 0;
            for (long long i = threadIdx.x; i < D; i += blockDim.x) sum += x[i] / scale - mean;
            rest = block_sum(sum, shared) / D;
            sum = 0;
            for (long long i = threadIdx.x; i < D; i += blockDim.x) {
                const real c = x[i] / scale - mean - rest;
                sum += c * c;
            }
            squares = block_sum(sum, shared) / D;
        }
        if (again || is_finite(squares)) break;
        real most = 0;
        for (long long i = threadIdx.x; i < D; i += blockDim.x) most = larger(fabs(x[i]), most);
        most = block_max(most, shared);
        if (!is_finite(most)) break;  // inf and nan show in the result
        scale = most;
        added = (real)(eps / most / most);
    }
    const real r = 1 / sqrt(squares + added);
    for (long long i = threadIdx.x; i < D; i += blockDim.x) {
        const real n = (x[i] / scale - mean - rest) * r;
        if (normed) normed[blockIdx.x * D + i] = n;
        y[i] = n * gain[i] + (bias ? bias[i] : 0);
    }
    if (threadIdx.x == 0) inverse[blockIdx.x] = r / scale;
}

// dx = r (h - mean(h) - normed mean(h normed)),  h = g gain;  no mean(h) if not centered
extern "C" __global__
void norm_backward(const real *g, const real *gain, const real *normed, const real *inverse,
                   real *dx, const long long D, const long long centered) {
    __shared__ real shared[256];
    g += blockIdx.x * D;
    normed += blockIdx.x * D;
    dx += blockIdx.x * D;
    real sum = 0, product = 0;
    for (long long i = threadIdx.x; i < D; i += blockDim.x) {
        sum += g[i] * gain[i];
        product += g[i] * gain[i] * normed[i];
    }
    const real mean = centered ? block_sum(sum, shared) / D : 0;
    product = block_sum(product, shared) / D;
    const real r = inverse[blockIdx.x];
    for (long long i = threadIdx.x; i < D; i += blockDim.x)
        dx[i] = r * (g[i] * gain[i] - mean - normed[i] * product);
}
""")


def _norm(x, gain, bias, eps, centered, keep):
    fits = gain.shape == x.shape[-1:] and (bias is None or bias.shape == gain.shape)
    if not fits or not can_launch(x, gain, bias):
        return None
    D = x.shape[-1]
    x, gain, bias = contiguous(x), contiguous(gain), contiguous(bias)
    n, threads = x.size // D, threads_for(D)
    y = np.empty_like(x)
    normed = np.empty_like(x) if keep else None
    inverse = np.empty_like(x, shape=(n,))
    arrays = x, gain, bias, y, normed, inverse
    SOURCE.launch("norm_forward", x, n, threads, *arrays, D, float(eps), centered)

    def backward(g):
        g = contiguous(g)

        def by_x(out):
            dx = np.empty_like(g)
            arrays = g, gain, normed, inverse, dx
            SOURCE.launch("norm_backward", g, n, threads, *arrays, D, centered)
            return dx

        def by_gain(out):
            return column_sums(g.reshape(n, D), out, normed.reshape(n, D))

        if not centered:
            return by_x, by_gain
        return by_x, by_gain, lambda out: column_sums(g.reshape(n, D), out)

    return y, backward


def layer_norm(
    x: np.ndarray,
    gain: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    eps: float = 1e-5,
    keep: bool,
) -> tuple[np.ndarray, Callable]:
    """As kernels.norms.layer_norm; None where only that will do."""
    return _norm(x, gain, bias, eps, True, keep)


def rms_norm(
    x: np.ndarray, gain: np.ndarray, *, eps: float = 1e-6, keep: bool
) -> tuple[np.ndarray, Callable] | None:
    """As kernels.norms.rms_norm; None where only that will do."""
    return _norm(x, gain, None, eps, False, keep)
