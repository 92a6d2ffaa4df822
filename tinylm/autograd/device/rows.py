"""Sums over rows as kernels: of columns, and of the rows of each id, the gradient of an embedding.

Every sum is taken in one order, the same in every run. Twins: ../kernels/rows.py. Read next:
losses.py.
"""

import numpy as np

from tinylm.autograd.device.launch import Source, can_launch, contiguous, threads_for

CHUNK = 1024  # rows that a block adds, where there are many
SMALL = 1 << 22  # ids to look at, over all blocks, up to which they are not sorted

SOURCE = Source(r"""
// out (chunks, F) = sums over the rows of each chunk of g (n, F), times another array if given.
// A block takes 32 columns of a chunk, in 32 lanes of rows; chains of 64 additions, then of those.
extern "C" __global__
void add_columns(const real *g, const real *times, real *out, const long long n,
                 const long long F, const long long chunk) {
    __shared__ real lanes[1024];
    const long long first = blockIdx.y * chunk, last = min(n, first + chunk);
    for (int k = threadIdx.x; k < 1024; k += blockDim.x) {
        const long long column = blockIdx.x * 32LL + k % 32;
        real sum = 0;
        if (column < F)
            for (long long row = first + k / 32; row < last;) {
                real part = 0;
                for (int i = 0; i < 64 && row < last; ++i, row += 32)
                    part += g[row * F + column] * (times ? times[row * F + column] : 1);
                sum += part;
            }
        lanes[k] = sum;
    }
    __syncthreads();
    for (int k = threadIdx.x; k < 32; k += blockDim.x) {
        const long long column = blockIdx.x * 32LL + k;
        real sum = 0;
        for (int lane = 0; lane < 32; ++lane) sum += lanes[lane * 32 + k];
        if (column < F) out[blockIdx.y * F + column] = sum;
    }
}

// out (rows, D): row v is the sum of g[i] over all i with ids[i] == v. A block takes a v.
extern "C" __global__
void add_rows_of(const long long *ids, const real *g, real *out, const long long n,
                 const long long D) {
    for (long long d = threadIdx.x; d < D; d += blockDim.x) {
        real sum = 0;
        for (long long i = 0; i < n; ++i)
            if (ids[i] == blockIdx.x) sum += g[i * D + d];
        out[blockIdx.x * D + d] = sum;
    }
}

// The same for many rows, into zeros: ids[order] is sorted, and a block whose id begins there adds
// all of its run, in chains of 64.
extern "C" __global__
void add_runs(const long long *ids, const long long *order, const real *g, real *out,
              const long long n, const long long D, const long long rows) {
    const long long first = blockIdx.x, id = ids[order[first]];
    if (first > 0 && ids[order[first - 1]] == id) return;
    if (id < 0 || id >= rows) return;
    for (long long d = threadIdx.x; d < D; d += blockDim.x) {
        real sum = 0;
        for (long long i = first; i < n && ids[order[i]] == id;) {
            real part = 0;
            for (int k = 0; k < 64 && i < n && ids[order[i]] == id; ++k, ++i)
                part += g[order[i] * D + d];
            sum += part;
        }
        out[id * D + d] = sum;
    }
}
""")


def column_sums(
    g: np.ndarray, out: np.ndarray | None = None, times: np.ndarray | None = None
) -> np.ndarray:
    """Sum of the rows of g (n, F), or of g * times: (F,), into `out` if given."""
    if not can_launch(g, times):
        if times is not None:
            g = g * times
        return np.sum(g, axis=0, out=out)
    n, F = g.shape
    g, times = contiguous(g), contiguous(times)  # before np.empty_like, which keeps their order
    if out is None or not out.flags.c_contiguous or out.dtype != g.dtype:
        out = np.empty_like(g, shape=(F,))
    chunks = 1
    if n > 4 * CHUNK:
        chunks = -(-n // CHUNK)
    sums = out
    if chunks > 1:
        sums = np.empty_like(g, shape=(chunks, F))
    grid = (-(-F // 32), chunks)
    chunk = n if chunks == 1 else CHUNK
    SOURCE.launch("add_columns", g, grid, 1024, g, times, sums, n, F, chunk)
    if chunks > 1:
        return column_sums(sums, out)
    return out


def add_rows(
    ids: np.ndarray, g: np.ndarray, rows: int, out: np.ndarray | None = None
) -> np.ndarray | None:
    """As kernels.rows.add_rows: (n,) and (n, D) -> (rows, D). None where there is no kernel."""
    if not can_launch(g) or not ids.size or ids.dtype.itemsize > 8:
        return None
    n, D = g.shape
    ids, g = contiguous(ids.astype(np.int64, copy=False)), contiguous(g)
    if out is None or not out.flags.c_contiguous or out.dtype != g.dtype:
        out = np.empty_like(g, shape=(rows, D))
    if rows * n <= SMALL:
        SOURCE.launch("add_rows_of", g, rows, threads_for(D), ids, g, out, n, D)
        return out
    out[...] = 0
    order = np.argsort(ids, kind="stable")
    SOURCE.launch("add_runs", g, n, threads_for(D), ids, order, g, out, n, D, rows)
    return out
