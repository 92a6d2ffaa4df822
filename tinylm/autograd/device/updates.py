"""The end of a training step on a GPU: the gradient's norm, and AdamW with clipping and decay.

The host is asked for nothing in between: the update reads loss and norm where they lie, and leaves
everything as it was if one of them is not finite. Twins: optim/flat.py, optim/adam.py. Read next:
train/step.py, which reads the result once.
"""

import numpy as np

from tinylm.autograd.device.launch import THREADS, Source, blocks_for

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
    double scale = factor;
    if (found) {
        const double norm = sqrt(found[1]) * factor;
        if (clip > 0 && norm > clip) scale *= clip / norm;
        const bool updates = is_finite(found[0] * factor) && is_finite(norm)
                             && found[1] * scale * scale < limit;
        if (blockIdx.x == 0 && threadIdx.x == 0) found[2] = updates;
        if (!updates) return;
    }
    const real keep = (real)kept, r = (real)rate, e = (real)eps, one = (real)b1, two = (real)b2;
    const real mean = (real)((1 - b1) * scale), root = (real)(sqrt(1 - b2) * scale);
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        real t = theta[i];
        for (long long k = 0; k < ranges; ++k)
            if (start + i >= decayed[2 * k] && start + i < decayed[2 * k + 1]) t *= keep;
        const real first = m[i] * one + g[i] * mean, s = g[i] * root;
        const real second = v[i] * two + s * s;
        m[i] = first;
        v[i] = second;
        theta[i] = t - first / (sqrt(second) + e) * r;
    }
}
""")


def squares(g, loss=None):
    """The sum of squares of a gradient (n,), beside a loss: (loss, sum, 0), float64 (3,), there.

    loss  0-d array of g's dtype; None: 0
    """
    blocks = blocks_for(len(g), PARTS)
    parts = np.empty_like(g, shape=(blocks,), dtype=np.float64)
    found = np.empty_like(parts, shape=(3,))
    SOURCE.launch("add_squares", g, blocks, THREADS, g, parts, len(g))
    SOURCE.launch("add_parts", g, 1, THREADS, parts, blocks, loss, found)
    return found


def adamw(theta, g, m, v, ranges, start, rates, scale, found=None, clip=0.0):
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
