"""Cross-entropy as kernels: one launch for the losses of rows, one for their mean, one backward;
softmax and log-softmax along the last axis, one launch each way.

A block takes a row of logits. The derivations stand in the twins, ../kernels/losses.py. Read next:
attention.py.
"""

from collections.abc import Callable

import numpy as np

from tinylm.autograd.device.launch import THREADS, Source, can_launch, contiguous, threads_for

SOURCE = Source(r"""
// y = softmax(x) of a row (V,), or its logarithm.
extern "C" __global__
void row_softmax(const real *x, real *y, const long long V, const long long logarithm) {
    __shared__ real shared[256];
    x += blockIdx.x * V;
    y += blockIdx.x * V;
    real top = -LARGEST, sum = 0;
    for (long long i = threadIdx.x; i < V; i += blockDim.x) top = larger(x[i], top);
    top = block_max(top, shared);
    for (long long i = threadIdx.x; i < V; i += blockDim.x) {
        const real power = exp(x[i] - top);
        sum += power;
        y[i] = logarithm ? x[i] - top : power;
    }
    sum = block_sum(sum, shared);
    const real log_sum = log(sum);
    for (long long i = threadIdx.x; i < V; i += blockDim.x)
        y[i] = logarithm ? y[i] - log_sum : y[i] / sum;
}

// dx = y (g - sum(g y)), or g - e^y sum(g) of the logarithm
extern "C" __global__
void row_softmax_backward(const real *g, const real *y, real *dx, const long long V,
                          const long long logarithm) {
    __shared__ real shared[256];
    g += blockIdx.x * V;
    y += blockIdx.x * V;
    dx += blockIdx.x * V;
    real sum = 0;
    for (long long i = threadIdx.x; i < V; i += blockDim.x) sum += logarithm ? g[i] : g[i] * y[i];
    sum = block_sum(sum, shared);
    for (long long i = threadIdx.x; i < V; i += blockDim.x)
        dx[i] = logarithm ? g[i] - exp(y[i]) * sum : y[i] * (g[i] - sum);
}

// losses[row] = Z - q . x + z Z^2, 0 where ids[row] is `ignore`, nan for an id outside of V.
// p = e^{x - top}, its sum `total`, and slope = 1 + 2 z Z are what backward needs.
extern "C" __global__
void row_losses(const real *x, const long long *ids, real *p, real *losses, real *total,
                real *slope, const long long V, const long long ignore, const double smoothing,
                const double z) {
    __shared__ real shared[256];
    const long long row = blockIdx.x, id = ids[row];
    x += row * V;
    p += row * V;
    real top = -LARGEST;
    for (long long i = threadIdx.x; i < V; i += blockDim.x) top = larger(x[i], top);
    top = block_max(top, shared);
    if (!is_finite(top)) top = 0;  // inf and nan show in the sum
    real sum = 0, fits = 0;
    for (long long i = threadIdx.x; i < V; i += blockDim.x) {
        p[i] = exp(x[i] - top);
        sum += p[i];
        fits += x[i] - top;
    }
    sum = block_sum(sum, shared);
    if (smoothing) fits = block_sum(fits, shared);
    if (threadIdx.x) return;
    const bool known = id >= 0 && id < V;
    real fit = (real)(1 - smoothing) * (known ? x[id] - top : sum);
    if (smoothing) fit += (real)smoothing * fits / V;
    const real logarithm = log(sum), Z = logarithm + top;
    real loss = logarithm - fit;
    if (z) loss += (real)z * Z * Z;
    if (!known) loss = log((real)-1);  // nan: this id would read another row
    losses[row] = id == ignore ? 0 : loss;
    total[row] = sum;
    slope[row] = 1 + 2 * (real)z * Z;
}

// One block: y = the sum of the losses, over `count`, how many of them count (at least 1).
extern "C" __global__
void reduce_losses(const real *losses, const long long *ids, real *y, real *count,
                   const long long n, const long long ignore, const long long mean) {
    __shared__ double shared[256];
    double sum = 0, counted = 0;
    for (long long i = threadIdx.x; i < n; i += blockDim.x) {
        sum += losses[i];
        counted += ids[i] != ignore;
    }
    sum = block_sum(sum, shared);
    counted = block_sum(counted, shared);
    if (threadIdx.x) return;
    if (!mean || counted < 1) counted = 1;
    *count = (real)counted;
    *y = (real)(sum / counted);
}

// dx = w (slope p / total - q), 0 in a row that does not count. w is g, of each row or of all, over
// `count` if there is one.
extern "C" __global__
void losses_backward(const real *g, const long long *ids, const real *p, const real *total,
                     const real *slope, const real *count, real *dx, const long long V,
                     const long long ignore, const double smoothing, const long long by_row) {
    const long long row = blockIdx.x, id = ids[row];
    p += row * V;
    dx += row * V;
    const real w = by_row ? g[row] : *g / *count;
    const real share = w * slope[row] / total[row], even = (real)(smoothing / V) * w;
    for (long long i = threadIdx.x; i < V; i += blockDim.x) {
        real d = p[i] * share - even;
        if (i == id) d -= (real)(1 - smoothing) * w;
        dx[i] = id == ignore ? 0 : d;
    }
}
""")


def cross_entropy(
    logits: np.ndarray,
    targets: np.ndarray,
    *,
    ignore_index: int,
    label_smoothing: float,
    z_loss: float,
    reduction: str,
    keep: bool,
) -> tuple[np.ndarray, Callable] | None:
    """As the kernel of kernels.losses.cross_entropy; None where only that will do."""
    if not can_launch(logits) or type(targets) is not type(logits):
        return None
    if targets.dtype.kind not in "iu" or not targets.size:
        return None
    V, n = logits.shape[-1], targets.size
    x, ids = contiguous(logits), contiguous(targets.astype(np.int64, copy=False))
    p = np.empty_like(x)
    losses, total, slope = (np.empty_like(x, shape=(n,)) for _ in range(3))
    threads, e = threads_for(V), float(label_smoothing)
    arrays = x, ids, p, losses, total, slope
    SOURCE.launch("row_losses", x, n, threads, *arrays, V, ignore_index, e, float(z_loss))
    y, count, by_row = losses.reshape(targets.shape), None, reduction == "none"
    if not by_row:
        y, count = np.empty_like(x, shape=()), np.empty_like(x, shape=())
        arrays = losses, ids, y, count
        mean = reduction == "mean"
        SOURCE.launch("reduce_losses", x, 1, THREADS, *arrays, n, ignore_index, mean)

    def backward(g):
        g, dx = contiguous(g), np.empty_like(x)
        arrays = g, ids, p, total, slope, count, dx
        sizes = V, ignore_index, e, by_row
        SOURCE.launch("losses_backward", g, n, threads, *arrays, *sizes)
        return dx, None

    return y, backward


def _softmax(x, axis, logarithm):
    if not can_launch(x) or not x.ndim or axis not in (-1, x.ndim - 1):
        return None
    V = x.shape[-1]
    n, threads = x.size // V, threads_for(V)
    x = contiguous(x)
    y = np.empty_like(x)
    SOURCE.launch("row_softmax", x, n, threads, x, y, V, logarithm)

    def backward(g):
        g = contiguous(g)
        dx = np.empty_like(g)
        SOURCE.launch("row_softmax_backward", g, n, threads, g, y, dx, V, logarithm)
        return (dx,)

    return y, backward


def softmax(x: np.ndarray, *, axis: int = -1, keep: bool) -> tuple[np.ndarray, Callable] | None:
    """As kernels.losses.softmax; None where only that will do."""
    return _softmax(x, axis, False)


def log_softmax(x: np.ndarray, *, axis: int = -1, keep: bool) -> tuple[np.ndarray, Callable] | None:
    """As kernels.losses.log_softmax; None where only that will do."""
    return _softmax(x, axis, True)
