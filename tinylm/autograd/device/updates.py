"""The end of a training step on a GPU: the gradient's norm; AdamW, or gradient descent with or
without momentum; clipping and decay.

The host is asked for nothing in between: the update reads loss and norm where they lie, and leaves
everything as it was if one of them is not finite. Twins: optim/flat.py, optim/adam.py,
optim/sgd.py. Read next: train/step.py, which reads the result once.
"""

import math

import numpy as np

from tinylm.autograd.device.launch import THREADS, Source, blocks_for
from tinylm.backend import to_cpu

PARTS = 1024  # blocks that add up squares, and numbers that the last one adds

SOURCE = Source(r"""
// parts[b] = the sum of squares of the elements of block b, in double: no square overflows, and
// ten million of them keep all digits of a float.
extern "C" __global__ void add_squares(const real *g, double *parts, const long long n) {
    __shared__ double shared[256];
    const long long step = (long long)gridDim.x * blockDim.x;
    double sum = 0;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        sum += (double)g[i] * g[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// One block: found = (loss, sum of the parts).
extern "C" __global__
void add_parts(const double *parts, const long long n, const real *loss, double *found) {
    __shared__ double shared[256];
    double sum = 0;
    for (long long i = threadIdx.x; i < n; i += blockDim.x) sum += parts[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) {
        found[0] = loss ? (double)*loss : 0;
        found[1] = sum;
    }
}

// The scale of the gradient, `factor` times that of clipping. found[2] becomes whether there is
// something to do: loss and norm are finite, and squares of the scaled gradient add up to less than
// limit. Null: `factor` is the scale.
__device__ bool scaled(double *found, const double factor, const double clip, const double limit,
                       double *scale) {
    *scale = factor;
    if (!found) return true;
    const double norm = sqrt(found[1]) * factor;
    if (clip > 0 && norm > clip) *scale *= clip / norm;
    const bool updates = is_finite(found[0] * factor) && is_finite(norm)
                         && found[1] * *scale * *scale < limit;
    if (blockIdx.x == 0 && threadIdx.x == 0) found[2] = updates;
    return updates;
}

// Whether element i of the flat buffer decays: it is in one of the ranges.
__device__ bool shrinks(const long long *decayed, const long long ranges, const long long i) {
    for (long long k = 0; k < ranges; ++k)
        if (i >= decayed[2 * k] && i < decayed[2 * k + 1]) return true;
    return false;
}

// Elements start .. start + n - 1 of the flat buffer; theta, g, m and v point at the first of them.
// found  (3,)  loss and squared norm, both to be multiplied by `factor`; found[2] tells the host
//              whether all was finite. Null: `factor` is the scale of the gradient
// limit        squares of the scaled gradient must add up to less
// decayed      bounds of the ranges that decay, two for each of `ranges`
extern "C" __global__
void adamw(real *theta, const real *g, real *m, real *v, double *found, const long long n,
           const long long *decayed, const long long ranges, const long long start,
           const double kept, const double b1, const double b2, const double eps,
           const double rate, const double factor, const double clip, const double limit) {
    double scale;
    if (!scaled(found, factor, clip, limit, &scale)) return;
    const real keep = (real)kept, r = (real)rate, e = (real)eps, one = (real)b1, two = (real)b2;
    const real mean = (real)((1 - b1) * scale), root = (real)(sqrt(1 - b2) * scale);
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        real t = theta[i];
        if (shrinks(decayed, ranges, start + i)) t *= keep;
        const real first = m[i] * one + g[i] * mean, s = g[i] * root;
        const real second = v[i] * two + s * s;
        m[i] = first;
        v[i] = second;
        theta[i] = t - first / (sqrt(second) + e) * r;
    }
}

// The same of  g <- g + decay theta,  u <- momentum u + g,  theta <- theta - rate u,  with
// g + momentum u instead of u if nesterov. u null: gradient descent without momentum.
extern "C" __global__
void descend(real *theta, const real *g, real *u, double *found, const long long n,
             const long long *decayed, const long long ranges, const long long start,
             const long long nesterov, const double rate, const double momentum,
             const double decay, const double factor, const double clip) {
    double scale;
    if (!scaled(found, factor, clip, 1.7e308, &scale)) return;
    const real r = (real)rate, m = (real)momentum, d = (real)decay, s = (real)scale;
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        real change = g[i] * s;
        if (shrinks(decayed, ranges, start + i)) change += d * theta[i];
        if (u) {
            const real velocity = u[i] * m + change;
            u[i] = velocity;
            change = nesterov ? change + m * velocity : velocity;
        }
        theta[i] -= r * change;
    }
}
""")


def squares(g: np.ndarray, loss: np.ndarray | None = None) -> np.ndarray:
    """The sum of squares of a gradient (n,), beside a loss: (loss, sum, 0), float64 (3,), there.

    loss  0-d array of g's dtype; None: 0
    """
    blocks = blocks_for(len(g), PARTS)
    parts = np.empty_like(g, shape=(blocks,), dtype=np.float64)
    found = np.empty_like(parts, shape=(3,))
    SOURCE.launch("add_squares", g, blocks, THREADS, g, parts, len(g))
    SOURCE.launch("add_parts", g, 1, THREADS, parts, blocks, loss, found)
    return found


def read(found: np.ndarray, factor: float) -> tuple[float, float, bool]:
    """What stands in `found` after an update, for which the host waits: (loss, norm, updated), with
    `factor` in them.
    """
    loss, square, updated = to_cpu(found).tolist()
    norm = math.nan  # also if the sum of squares is nan
    if square >= 0:
        norm = math.sqrt(square) * factor
    return loss * factor, norm, bool(updated)


def descend(
    theta: np.ndarray,
    g: np.ndarray,
    velocity: np.ndarray | None,
    ranges: np.ndarray,
    start: int,
    rates: tuple[float, ...],
    nesterov: bool,
    scale: float,
    found: np.ndarray | None = None,
    clip: float = 0.0,
) -> None:
    """One update of theta (n,) by the gradient g, and of the velocity (n,), None for none.

    rates   (lr, momentum, weight_decay);  others as in adamw()
    """
    sizes = len(theta), ranges, len(ranges) // 2, start, nesterov
    numbers = (*map(float, rates), float(scale), float(clip))
    arrays, grid = (theta, g, velocity, found), blocks_for(len(theta))
    SOURCE.launch("descend", theta, grid, THREADS, *arrays, *sizes, *numbers)


def adamw(
    theta: np.ndarray,
    g: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    ranges: np.ndarray,
    start: int,
    rates: tuple[float, ...],
    scale: float,
    found: np.ndarray | None = None,
    clip: float = 0.0,
) -> None:
    """One update of theta, m and v (n,) in place, by the gradient g.

    ranges   bounds of what decays: int64 (2 r,) in the flat buffer, where theta begins at `start`
    rates    (1 - lr weight_decay, b1, b2, eps c2, lr c2 / c1), with c1, c2 as in optim/adam.py
    scale    factor on the gradient, and on the loss and the norm in `found`
    found    of squares(); its last number becomes 1, or 0 if nothing was updated because loss or
             norm is not finite, or a square might overflow. None: nothing is asked
    clip     largest norm; 0: any
    """
    limit = float(np.finfo(v.dtype).max)
    grid = blocks_for(len(theta))
    numbers = (*map(float, rates), float(scale), float(clip), limit)
    sizes = len(theta), ranges, len(ranges) // 2, start
    SOURCE.launch("adamw", theta, grid, THREADS, theta, g, m, v, found, *sizes, *numbers)
