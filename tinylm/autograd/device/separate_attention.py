"""Attention of separate queries, keys and values as kernels: with a bias, with a cache, of one
sequence to another.

With gradients it is batched products between kernels, as in attention.py, whose softmax it shares:
here every operand has strides, keys may be more than queries, and values may have a width of their
own. A few queries without gradients, a step of decoding, are one launch: a block takes a query, and
reads keys and values where the cache has them. Twin: ../kernels/attention.py. Read next:
updates.py.
"""

from collections.abc import Callable

import numpy as np

from tinylm.autograd.device import attention as packed
from tinylm.autograd.device.attention import TILE, with_strides
from tinylm.autograd.device.launch import (
    THREADS,
    Source,
    blocks_for,
    can_launch,
    contiguous,
    rows_of,
    threads_for,
)

FEW = 8  # queries of a head that are one launch: so few share what they read of the keys

SOURCE = Source(r"""
// x (B, G, T, K) with strides in elements, the last 1, as (B, H, T, K) times scale, and transposed,
// (B, H, K, T): each of the G heads once for each of those that share it. Null: not wanted.
extern "C" __global__
void lay_out(const real *x, const long long x_b, const long long x_h, const long long x_t,
             real *plain, real *other, const long long T, const long long H,
             const long long shared_by, const long long K, const double scale) {
    __shared__ real tile[32 * 33];  // one column more: its columns lie in different banks
    const long long across = (K + 31) / 32, down = (T + 31) / 32;
    const long long first_i = blockIdx.x % across * 32, first_t = blockIdx.x / across % down * 32;
    const long long head = blockIdx.x / (across * down), b = head / H, h = head % H;
    x += b * x_b + h / shared_by * x_h;
    for (int n = threadIdx.x; n < 32 * 32; n += blockDim.x) {
        const long long t = first_t + n / 32, i = first_i + n % 32;
        if (t >= T || i >= K) continue;
        const real value = x[t * x_t + i] * (real)scale;
        if (plain) plain[(head * T + t) * K + i] = value;
        tile[n / 32 * 33 + n % 32] = value;
    }
    __syncthreads();
    for (int n = threadIdx.x; other && n < 32 * 32; n += blockDim.x) {
        const long long t = first_t + n % 32, i = first_i + n / 32;
        if (t < T && i < K) other[(head * K + i) * T + t] = tile[n % 32 * 33 + n / 32];
    }
}

// y (B, H, T, K) = a x of a (B, H, T, S) and x (B, H, S, K): the elements that are not finite are
// computed again, over what is visible alone; and all are multiplied by scale.
extern "C" __global__
void mend_rows(real *y, const real *a, const real *x, const bool *mask, const long long *strides,
               const long long causal, const long long n, const long long T, const long long S,
               const long long H, const long long K, const double scale) {
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long e = (long long)blockIdx.x * blockDim.x + threadIdx.x; e < n; e += step) {
        const long long i = e % K, t = e / K % T, head = e / (K * T), b = head / H, h = head % H;
        real value = y[e];
        if (!is_finite(value)) {
            value = 0;
            for (long long s = 0; s < S; ++s)
                if (sees(mask, strides, causal, S - T, b, h, t, s))
                    value += a[(head * T + t) * S + s] * x[(head * S + s) * K + i];
        }
        y[e] = value * (real)scale;
    }
}

// d (B, H, K, S) = x^T a of x (B, H, T, K) and a (B, H, T, S) -> out (B, G, S, K), those of heads
// that share keys added up, the elements that are not finite computed again.
extern "C" __global__
void merge_keys(const real *d, const real *a, const real *x, real *out, const bool *mask,
                const long long *strides, const long long causal, const long long n,
                const long long T, const long long S, const long long H,
                const long long shared_by, const long long K) {
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long e = (long long)blockIdx.x * blockDim.x + threadIdx.x; e < n; e += step) {
        const long long i = e % K, s = e / K % S, first = e / (K * S) * shared_by, b = first / H;
        real sum = 0;
        for (long long head = first; head < first + shared_by; ++head) {
            real value = d[(head * K + i) * S + s];
            if (!is_finite(value)) {
                value = 0;
                for (long long t = 0; t < T; ++t)
                    if (sees(mask, strides, causal, S - T, b, head % H, t, s))
                        value += a[(head * T + t) * S + s] * x[(head * T + t) * K + i];
            }
            sum += value;
        }
        out[e] = sum;
    }
}

// y (B, H, T, J) in one launch. weights (B, H, T, S) is scratch: a block has a row of it.
extern "C" __global__
void attend_rows(const real *q, const long long q_b, const long long q_h, const long long q_t,
                 const real *k, const long long k_b, const long long k_h, const long long k_s,
                 const real *v, const long long v_b, const long long v_h, const long long v_s,
                 const real *bias, const long long *apart, const bool *mask,
                 const long long *strides, const long long causal, real *weights, real *y,
                 const long long T, const long long S, const long long H,
                 const long long shared_by, const long long K, const long long J,
                 const double scale) {
    __shared__ real shared[256];
    __shared__ double wide[256];
    const long long head = blockIdx.x / T, t = blockIdx.x % T, b = head / H, h = head % H;
    q += b * q_b + h * q_h + t * q_t;
    k += b * k_b + h / shared_by * k_h;
    v += b * v_b + h / shared_by * v_h;
    weights += blockIdx.x * S;
    if (bias) bias += b * apart[0] + h * apart[1] + t * apart[2];
    real top = -LARGEST, sum = 0;
    for (long long s = threadIdx.x; s < S; s += blockDim.x) {
        if (!sees(mask, strides, causal, S - T, b, h, t, s)) continue;
        real score = 0;
        for (long long i = 0; i < K; ++i) score += q[i] * (real)scale * k[s * k_s + i];
        weights[s] = score + (bias ? bias[s * apart[3]] : 0);
        top = larger(weights[s], top);
    }
    top = block_max(top, shared);
    if (is_finite(top) && top > -LARGEST) {
        for (long long s = threadIdx.x; s < S; s += blockDim.x)
            if (sees(mask, strides, causal, S - T, b, h, t, s))
                sum += weights[s] = exp(weights[s] - top);
    } else {  // nothing is visible, or scores overflow: once more, in double
        double most = -1.7e308;
        for (int pass = 0; pass < 2; ++pass) {
            for (long long s = threadIdx.x; s < S; s += blockDim.x) {
                if (!sees(mask, strides, causal, S - T, b, h, t, s)) continue;
                double score = 0;
                for (long long i = 0; i < K; ++i) score += scale * q[i] * k[s * k_s + i];
                if (bias) score += bias[s * apart[3]];
                if (pass == 0) most = larger(score, most);
                if (pass == 1) sum += weights[s] = (real)exp(score - most);
            }
            if (pass == 0) most = block_max(most, wide);
        }
    }
    const real total = block_sum(sum, shared);
    // 32 columns at a time, in 8 lanes of keys
    for (long long first = 0; first < J; first += 32) {
        __syncthreads();
        for (int n = threadIdx.x; n < 256; n += blockDim.x) {
            const long long j = first + n % 32;
            real part = 0;
            for (long long s = n / 32; j < J && s < S; s += 8)
                if (sees(mask, strides, causal, S - T, b, h, t, s))
                    part += weights[s] * v[s * v_s + j];
            shared[n] = part;
        }
        __syncthreads();
        for (int n = threadIdx.x; n < 32 && first + n < J; n += blockDim.x) {
            real part = 0;
            for (int lane = 0; lane < 8; ++lane) part += shared[lane * 32 + n];
            y[blockIdx.x * J + first + n] = total == 0 ? 0 : part / total;
        }
    }
}
""")


def _laid_out(x, H, scale=1.0, plain=True, other=True):
    """x (B, G, T, K) times scale as (B, H, T, K) and (B, H, K, T); None for what is not wanted."""
    B, G, T, K = x.shape
    x, address, strides = rows_of(x)
    pair = [
        np.empty_like(x, shape=shape, order="C") if wanted else None
        for wanted, shape in ((plain, (B, H, T, K)), (other, (B, H, K, T)))
    ]
    tiles = B * H * -(-T // TILE) * -(-K // TILE)
    sizes = T, H, H // G, K, float(scale)
    SOURCE.launch("lay_out", x, tiles, THREADS, address, *strides, *pair, *sizes)
    return pair


def attention(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    mask: np.ndarray | None,
    causal: bool,
    scale: float | None,
    dropped: np.ndarray | None,
    keep: bool,
) -> tuple[np.ndarray, Callable | None]:
    """As the kernel of kernels.attention.attention; None where only that will do."""
    if not can_launch(q, k, v, bias, dropped) or (mask is not None and type(mask) is not type(q)):
        return None
    K, shape = q.shape[3], (*q.shape[:3], k.shape[2])  # (B, H, T, S)
    scale = 1 / K**0.5 if scale is None else float(scale)
    biased = with_strides(bias, shape, q)
    seen = (*with_strides(mask, shape, q), causal)
    if not keep and dropped is None and shape[2] <= FEW:
        return _few(q, k, v, biased, seen, scale), None
    return _many(q, k, v, biased, seen, scale, contiguous(dropped), keep)


def _few(q, k, v, biased, seen, scale):
    """A few queries without gradients: (B, H, T, J) in one launch."""
    B, H, T, K = q.shape
    G, S = k.shape[1:3]
    J = v.shape[3]
    held, arguments = [], []  # arrays stay alive until the launch
    for x in (q, k, v):
        x, address, strides = rows_of(x)
        held.append(x)
        arguments += [address, *strides]
    # Without order= it would be that of q.
    weights, y = (np.empty_like(q, shape=(B, H, T, n), order="C") for n in (S, J))
    arguments += [*biased, *seen, weights, y, T, S, H, H // G, K, J, scale]
    SOURCE.launch("attend_rows", q, B * H * T, threads_for(S), *arguments)
    return y


def _many(q, k, v, biased, seen, scale, dropped, keep):
    """(y (B, H, T, J), backward), by products."""
    B, H, T, K = q.shape
    G, S = k.shape[1:3]
    rows, threads = B * H * T, threads_for(S)
    q_plain, q_t = _laid_out(q, H, scale, other=keep)  # (B, H, T, K), (B, H, K, T)
    k_plain, k_t = _laid_out(k, H, plain=keep)  # (B, H, S, K), (B, H, K, S)
    v_plain, v_t = _laid_out(v, H, other=keep)  # (B, H, S, J), (B, H, J, S)
    weights = q_plain @ k_t  # (B, H, T, S)
    kept = weights if dropped is None else np.empty_like(weights)
    arrays = weights, None if dropped is None else kept, dropped, q_plain, k_t, *biased
    packed.SOURCE.launch("softmax_rows", q, rows, threads, *arrays, *seen, T, S, H, K)

    def mended(y, a, x, scale):
        width = y.shape[3]
        sizes = y.size, T, S, H, width, scale
        blocks = blocks_for(y.size)
        SOURCE.launch("mend_rows", y, blocks, THREADS, y, a, x, *seen, *sizes)
        return y

    def merged(d, a, x):
        width = x.shape[3]
        out = np.empty_like(d, shape=(B, G, S, width))
        arrays, sizes = (d, a, x, out), (out.size, T, S, H, H // G, width)
        SOURCE.launch("merge_keys", d, blocks_for(out.size), THREADS, *arrays, *seen, *sizes)
        return out

    def backward(g):
        g = contiguous(g)
        _, g_t = _laid_out(g, H, plain=False)  # (B, H, J, T)
        ds = g @ v_t  # dP (B, H, T, S), which becomes dS
        arrays = ds, weights, dropped
        packed.SOURCE.launch("softmax_backward", q, rows, threads, *arrays, *seen, T, S, H)
        dq = mended(ds @ k_plain, ds, k_plain, scale)
        dk, dv = merged(q_t @ ds, ds, q_plain), merged(g_t @ kept, kept, g)
        if biased[0] is None:
            return dq, dk, dv, None
        return dq, dk, dv, lambda out: _summed_to(ds, biased[0].shape)

    return mended(kept @ v_plain, kept, v_plain, 1.0), backward


def _summed_to(ds, shape):
    """ds (B, H, T, S) summed over the axes along which a bias of `shape` was broadcast."""
    lengths = (1,) * (4 - len(shape)) + shape
    axes = tuple(i for i in range(4) if lengths[i] == 1 and ds.shape[i] != 1)
    return np.sum(ds, axis=axes, keepdims=True).reshape(shape)
