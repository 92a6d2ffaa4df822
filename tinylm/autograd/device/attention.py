"""Self-attention as kernels around batched products: heads split and turned, softmax under a mask,
heads merged.

CuPy multiplies batches of matrices in row-major order and copies all others, and it makes tables of
pointers where batches must be broadcast. So one launch writes every operand in the order in which
its product reads it, keys and values once for each head that shares them; and narrow operands are
transposed, (T, K), never the weights, (T, T). With q scaled and turned:

    S = q k^T,  P = softmax(S),  y = P v                           forward
    dP = g v^T,  dS = P (dP - rowsum(dP P)),  dq = dS k,           backward
    dk^T = q^T dS,  dv^T = g^T P

Nobody waits to see whether all is finite. A number that is not is computed again where it is
written, in a loop that leaves out hidden pairs; scores beyond float32 are, in double. Derivation
and twin: ../kernels/attention.py. Read next: separate_attention.py.
"""

from collections.abc import Callable

import numpy as np

from tinylm.autograd.device.launch import (
    THREADS,
    Source,
    blocks_for,
    can_launch,
    contiguous,
    threads_for,
)
from tinylm.backend import device_of, to_device

TILE = 32  # a block of split_heads moves a tile of 32 tokens and 32 columns

SOURCE = Source(r"""
// Row i of a head's vector x (K,), turned by its angles (K/2,) if there are any.
__device__ real turned(const real *x, const real *cos, const real *sin, long long i, long long K) {
    const long long half = K / 2;
    if (!cos) return x[i];
    if (i < half) return x[i] * cos[i] - x[i + half] * sin[i];
    return x[i - half] * sin[i - half] + x[i] * cos[i - half];
}

// Of qkv (B, T, (H + 2 G) K) and g (B, T, H K): q scaled and turned, k turned, v and g, each
// (B, H, T, K) and transposed, (B, H, K, T). Null: not wanted. blockIdx.y chooses q, k, v or g.
extern "C" __global__
void split_heads(const real *qkv, const real *g, const real *cos, const real *sin,
                 real *q, real *q_t, real *k, real *k_t, real *v, real *v_t, real *gh, real *g_t,
                 const long long T, const long long H, const long long G, const long long K,
                 const double scale, const long long angles) {
    __shared__ real tile[32 * 33];  // one column more: its columns lie in different banks
    const int part = blockIdx.y;
    real *plain = part == 0 ? q : part == 1 ? k : part == 2 ? v : gh;
    real *other = part == 0 ? q_t : part == 1 ? k_t : part == 2 ? v_t : g_t;
    if (!plain && !other) return;
    const long long across = (K + 31) / 32, down = (T + 31) / 32;
    const long long first_i = blockIdx.x % across * 32, first_t = blockIdx.x / across % down * 32;
    const long long head = blockIdx.x / (across * down), b = head / H, h = head % H;
    const long long shared_by = H / G, width = (H + 2 * G) * K;
    const long long place = part == 0 || part == 3 ? h : part == 1 ? H + h / shared_by
                                                                    : H + G + h / shared_by;
    for (int n = threadIdx.x; n < 32 * 32; n += blockDim.x) {
        const long long t = first_t + n / 32, i = first_i + n % 32;
        if (t >= T || i >= K) continue;
        real value;
        if (part == 3) {
            value = g[(b * T + t) * H * K + h * K + i];
        } else {
            const real *x = qkv + (b * T + t) * width + place * K;
            const long long at = b * angles + t * (K / 2);
            const bool turns = cos && part < 2;
            value = turned(x, turns ? cos + at : 0, sin + at, i, K);
            if (part == 0) value *= (real)scale;
        }
        if (plain) plain[(head * T + t) * K + i] = value;
        tile[n / 32 * 33 + n % 32] = value;
    }
    __syncthreads();
    for (int n = threadIdx.x; other && n < 32 * 32; n += blockDim.x) {
        const long long t = first_t + n % 32, i = first_i + n / 32;
        if (t < T && i < K) other[(head * K + i) * T + t] = tile[n % 32 * 33 + n / 32];
    }
}

// One row of scores (S,), with the bias of its strides added, becomes its softmax over what is
// visible, 0 elsewhere; all 0 where nothing is. kept = that times `dropped`, if there is one.
// Query t of T is aligned with key t + S - T: the last with the last.
extern "C" __global__
void softmax_rows(real *scores, real *kept, const real *dropped, const real *q, const real *k_t,
                  const real *bias, const long long *apart, const bool *mask,
                  const long long *strides, const long long causal, const long long T,
                  const long long S, const long long H, const long long K) {
    __shared__ real shared[256];
    __shared__ double wide[256];
    const long long head = blockIdx.x / T, t = blockIdx.x % T, b = head / H, h = head % H;
    scores += blockIdx.x * S;
    if (bias) bias += b * apart[0] + h * apart[1] + t * apart[2];
    real top = -LARGEST, sum = 0;
    for (long long s = threadIdx.x; s < S; s += blockDim.x) {
        if (bias) scores[s] += bias[s * apart[3]];
        if (sees(mask, strides, causal, S - T, b, h, t, s)) top = larger(scores[s], top);
    }
    top = block_max(top, shared);
    if (is_finite(top) && top > -LARGEST) {
        for (long long s = threadIdx.x; s < S; s += blockDim.x) {
            const bool seen = sees(mask, strides, causal, S - T, b, h, t, s);
            scores[s] = seen ? exp(scores[s] - top) : 0;
            sum += scores[s];
        }
    } else {  // nothing is visible, or scores overflow: once more, in double
        double most = -1.7e308;
        for (int pass = 0; pass < 2; ++pass) {
            for (long long s = threadIdx.x; s < S; s += blockDim.x) {
                const bool seen = sees(mask, strides, causal, S - T, b, h, t, s);
                double score = bias ? (double)bias[s * apart[3]] : 0;
                for (long long i = 0; seen && i < K; ++i)
                    score += (double)q[blockIdx.x * K + i] * k_t[(head * K + i) * S + s];
                if (pass == 0 && seen) most = larger(score, most);
                if (pass == 1) sum += scores[s] = seen ? (real)exp(score - most) : 0;
            }
            if (pass == 0) most = block_max(most, wide);
        }
    }
    sum = block_sum(sum, shared);
    for (long long s = threadIdx.x; s < S; s += blockDim.x) {
        if (sum != 0 && sees(mask, strides, causal, S - T, b, h, t, s)) scores[s] /= sum;
        if (kept) kept[blockIdx.x * S + s] = scores[s] * dropped[blockIdx.x * S + s];
    }
}

// dP (S,) becomes dS = P (dP - sum(dP P)), 0 where hidden; dP is multiplied by `dropped` first.
extern "C" __global__
void softmax_backward(real *d, const real *weights, const real *dropped, const bool *mask,
                      const long long *strides, const long long causal, const long long T,
                      const long long S, const long long H) {
    __shared__ real shared[256];
    const long long head = blockIdx.x / T, t = blockIdx.x % T, b = head / H, h = head % H;
    d += blockIdx.x * S;
    weights += blockIdx.x * S;
    real sum = 0;
    for (long long s = threadIdx.x; s < S; s += blockDim.x) {
        if (dropped) d[s] *= dropped[blockIdx.x * S + s];
        if (sees(mask, strides, causal, S - T, b, h, t, s)) sum += d[s] * weights[s];
    }
    sum = block_sum(sum, shared);
    for (long long s = threadIdx.x; s < S; s += blockDim.x)
        d[s] = sees(mask, strides, causal, S - T, b, h, t, s) ? weights[s] * (d[s] - sum) : 0;
}

// sum_s A[t, s] x[s, i] over the keys s that t sees
__device__ real over_keys(const real *a, const real *x, const bool *mask, const long long *strides,
                          const long long causal, long long b, long long h, long long t,
                          long long i, long long T, long long K) {
    real sum = 0;
    for (long long s = 0; s < T; ++s)
        if (sees(mask, strides, causal, 0, b, h, t, s)) sum += a[t * T + s] * x[s * K + i];
    return sum;
}

// sum_t A[t, s] x[i, t] over the queries t that see s
__device__ real over_queries(const real *a, const real *x_t, const bool *mask,
                             const long long *strides, const long long causal, long long b,
                             long long h, long long s, long long i, long long T) {
    real sum = 0;
    for (long long t = 0; t < T; ++t)
        if (sees(mask, strides, causal, 0, b, h, t, s)) sum += a[t * T + s] * x_t[i * T + t];
    return sum;
}

// y (B, H, T, K) -> out (B, T, H K), the elements that are not finite computed again.
extern "C" __global__
void join_heads(const real *y, const real *weights, const real *v, real *out, const bool *mask,
                const long long *strides, const long long causal, const long long n,
                const long long T, const long long H, const long long K) {
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long e = (long long)blockIdx.x * blockDim.x + threadIdx.x; e < n; e += step) {
        const long long i = e % K, h = e / K % H, t = e / (K * H) % T, b = e / (K * H * T);
        const long long head = b * H + h;
        real value = y[(head * T + t) * K + i];
        if (!is_finite(value))
            value = over_keys(weights + head * T * T, v + head * T * K, mask, strides, causal, b, h,
                              t, i, T, K);
        out[e] = value;
    }
}

// dq (B, H, T, K), dk_t and dv_t (B, H, K, T) -> packed (B, T, (H + 2 G) K): turned back, those of
// heads that share keys added up, the elements that are not finite computed again.
extern "C" __global__
void merge_heads(const real *dq, const real *dk_t, const real *dv_t, const real *ds,
                 const real *kept, const real *k, const real *q_t, const real *g_t,
                 const real *cos, const real *sin, real *packed, const bool *mask,
                 const long long *strides, const long long causal, const long long n,
                 const long long T, const long long H, const long long G, const long long K,
                 const double scale, const long long angles) {
    const long long step = (long long)gridDim.x * blockDim.x;
    const long long places = H + 2 * G, shared_by = H / G, half = K / 2;
    for (long long e = (long long)blockIdx.x * blockDim.x + threadIdx.x; e < n; e += step) {
        const long long i = e % K, place = e / K % places, t = e / (K * places) % T;
        const long long b = e / (K * places * T);
        const bool is_q = place < H, is_k = !is_q && place < H + G, turns = cos && (is_q || is_k);
        const long long first = is_q ? place : (place - H) % G * shared_by;
        const long long last = is_q ? place + 1 : first + shared_by;
        real value = 0, other = 0;  // at i, and at the other of its pair
        for (int one = 0; one < (turns ? 2 : 1); ++one) {
            const long long j = one == 0 ? i : i < half ? i + half : i - half;
            for (long long h = first; h < last; ++h) {
                const long long head = b * H + h, square = head * T * T, flat = head * T * K;
                real d;
                if (is_q) {
                    d = dq[flat + t * K + j];
                    if (!is_finite(d))
                        d = over_keys(ds + square, k + flat, mask, strides, causal, b, h, t, j, T,
                                      K);
                    d *= (real)scale;
                } else {
                    d = (is_k ? dk_t : dv_t)[flat + j * T + t];
                    if (!is_finite(d))
                        d = over_queries((is_k ? ds : kept) + square, (is_k ? q_t : g_t) + flat,
                                         mask, strides, causal, b, h, t, j, T);
                }
                if (one) other += d; else value += d;
            }
        }
        if (turns) {  // the transpose of a rotation: by the opposite angle
            const long long at = b * angles + t * half + i % half;
            value = value * cos[at] + (i < half ? other : -other) * sin[at];
        }
        packed[e] = value;
    }
}
""")


def _angles(rotation, B, T, K, like):
    """(cos, sin, elements from one row of the batch to the next); None if they do not fit."""
    if rotation is None:
        return None, None, 0
    shape = rotation[0].shape
    fits = K % 2 == 0 and shape in ((T, K // 2), (1, 1, T, K // 2), (B, 1, T, K // 2))
    if not fits or rotation[1].shape != shape or not can_launch(like, *rotation):
        return None
    cos, sin = map(contiguous, rotation)
    own = len(shape) == 4 and shape[0] == B
    return cos, sin, T * K // 2 if own else 0


def with_strides(
    x: np.ndarray | None, shape: tuple[int, ...], like: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """(a mask or bias, its strides as one of `shape`, in elements); (None, None) for None."""
    if x is None:
        return None, None
    x = contiguous(x)
    wide = np.broadcast_to(x, shape)
    strides = np.array(wide.strides, np.int64) // x.dtype.itemsize
    return x, to_device(strides, device_of(like))


def _empty(like, *shape):
    return np.empty_like(like, shape=shape)


def self_attention(
    qkv: np.ndarray,
    *,
    heads: int,
    kv_heads: int,
    rotation: tuple[np.ndarray, ...] | None,
    causal: bool,
    scale: float | None,
    mask: np.ndarray | None,
    dropped: np.ndarray | None,
    keep: bool,
) -> tuple[np.ndarray, Callable] | None:
    """As the kernel of kernels.attention.self_attention; None where only that will do."""
    if not can_launch(qkv, dropped) or (mask is not None and type(mask) is not type(qkv)):
        return None
    B, T, width = qkv.shape
    H, G = heads, kv_heads
    K = width // (H + 2 * G)
    found = _angles(rotation, B, T, K, qkv)
    if found is None:
        return None
    cos, sin, angles = found
    scale = 1 / K**0.5 if scale is None else float(scale)
    seen = (*with_strides(mask, (B, H, T, T), qkv), causal)
    qkv, dropped = contiguous(qkv), contiguous(dropped)
    tiles = B * H * -(-T // TILE) * -(-K // TILE)
    sizes = T, H, G, K, scale, angles
    q, k_t, v = _empty(qkv, B, H, T, K), _empty(qkv, B, H, K, T), _empty(qkv, B, H, T, K)
    parts = q, None, None, k_t, v, None, None, None
    SOURCE.launch("split_heads", qkv, (tiles, 3), THREADS, qkv, None, cos, sin, *parts, *sizes)
    weights = q @ k_t  # (B, H, T, T)
    kept = weights
    if dropped is not None:
        kept = _empty(qkv, B, H, T, T)
    arrays = weights, None if dropped is None else kept, dropped, q, k_t, None, None
    threads = threads_for(T)
    SOURCE.launch("softmax_rows", qkv, B * H * T, threads, *arrays, *seen, T, T, H, K)
    y, out = kept @ v, _empty(qkv, B, T, H * K)
    arrays = y, kept, v, out
    SOURCE.launch(
        "join_heads", qkv, blocks_for(out.size), THREADS, *arrays, *seen, out.size, T, H, K
    )

    def backward(g):
        g, packed = contiguous(g), np.empty_like(qkv)
        q_t, k, v_t = _empty(qkv, B, H, K, T), _empty(qkv, B, H, T, K), _empty(qkv, B, H, K, T)
        gh, g_t = _empty(qkv, B, H, T, K), _empty(qkv, B, H, K, T)
        parts = None, q_t, k, None, None, v_t, gh, g_t
        SOURCE.launch("split_heads", qkv, (tiles, 4), THREADS, qkv, g, cos, sin, *parts, *sizes)
        dv_t = g_t @ kept  # (B, H, K, T) @ (B, H, T, T)
        ds = gh @ v_t  # dP, which becomes dS
        arrays = ds, weights, dropped
        SOURCE.launch("softmax_backward", qkv, B * H * T, threads, *arrays, *seen, T, T, H)
        arrays = ds @ k, q_t @ ds, dv_t, ds, kept, k, q_t, g_t, cos, sin, packed
        blocks = blocks_for(packed.size)
        SOURCE.launch("merge_heads", qkv, blocks, THREADS, *arrays, *seen, packed.size, *sizes)
        return (packed,)

    return out, backward
